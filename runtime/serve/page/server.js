// The server's HTTP interface. Every function throws an Error whose message can be shown as it is.

let token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("lipforge token") || "";
if (location.hash.includes("token=")) history.replaceState(null, "", location.pathname);

export class TokenNeeded extends Error {}

export function setToken(value) {
  token = value.trim();
  sessionStorage.setItem("lipforge token", token);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.status === 401) throw new TokenNeeded("Enter the access token that the server was started with.");
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered ${response.status}.`);
  return answer;
}

export const avatars = () => ask("avatars");

export const addAvatar = (file) =>
  ask(`avatars?name=${encodeURIComponent(file.name)}`, {
    method: "POST", headers: { "Content-Type": file.type || "application/octet-stream" }, body: file,
  });

export const offer = (description, choice) =>
  ask("offer", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp: description.sdp, type: description.type, ...choice }),
  });
