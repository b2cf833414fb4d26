// What the user touches: choices, Start and Stop, Interrupt.

import * as server from "./server.js";
import { Figures } from "./figures.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const figures = new Figures();
const watching = document.body.dataset.mode === "watch";
let stream = null;

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

function setState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

function complain(message) {
  $("problem").textContent = message ?? "";
  $("problem").hidden = !message;
}

function showChoices() {
  for (const part of document.querySelectorAll("[data-for]")) {
    const [name, value] = part.dataset.for.split("=");
    part.hidden = chosen(name) !== value;
  }
}

function showRunning(running) {
  $("start").textContent = running ? "Stop" : "Start";
  $("interrupt").disabled = !running;
  $("interrupt").hidden = watching;
  $("replay").hidden = !running || watching || chosen("voice") !== "file";
  $("hint").hidden = running;
  for (const field of document.querySelectorAll("fieldset")) field.disabled = running;
}

async function listDevices() {
  const found = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  for (const [id, kind, name] of [["camera", "videoinput", "Camera"], ["microphone", "audioinput", "Microphone"]]) {
    const known = found.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default");
    const before = $(id).value;
    const options = known.map((device, i) => new Option(device.label || `${name} ${i + 1}`, device.deviceId));
    $(id).replaceChildren(new Option(`Default ${name.toLowerCase()}`, ""), ...options);
    if (known.some((device) => device.deviceId === before)) $(id).value = before;
  }
}

async function listAvatars(selected) {
  const { avatars } = await server.avatars();
  const options = avatars.map((avatar) => new Option(`${avatar.name} (${avatar.width}×${avatar.height})`, avatar.id));
  $("avatar").replaceChildren(...(options.length ? options : [new Option("None yet: add one below", "")]));
  if (selected) $("avatar").value = selected;
  $("token-row").hidden = true;
}

async function guarded(action) {
  complain(null);
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof server.TokenNeeded) {
      $("token-row").hidden = false;
      $("token").focus();
    }
    complain(error.message);
    return false;
  }
}

async function start() {
  setState("busy", "Connecting");
  showRunning(true);
  stream = new Stream({ onTrack: play, onStats: (found) => figures.update(found), onEnd: stop });
  const choice = watching ? { face: "watch" } : {
    face: chosen("face"), voice: chosen("voice"), camera: $("camera").value, microphone: $("microphone").value,
    avatar: $("avatar").value, file: $("voice-file").files[0],
  };
  const opened = await guarded(async () => {
    if (choice.face === "avatar" && !choice.avatar) throw new Error("Add a picture or a video as avatar first.");
    await stream.open(choice);
  });
  if (!opened) return stop($("problem").textContent);
  if (!stream || stream.closed) return;
  if (watching) return;
  $("own").hidden = choice.face !== "camera";
  $("own").srcObject = choice.face === "camera" ? new MediaStream(stream.input.getVideoTracks()) : null;
  listDevices();
}

function play(output) {
  setState("live", "Live");
  if ($("result").srcObject === output) return; // the second track of the same stream
  $("result").srcObject = output;
  $("result").play().catch((error) => {
    if (error.name !== "NotAllowedError") return;
    $("result").muted = true; // some browsers play sound only after a click; the picture at once
    $("result").play();
    $("unmute").hidden = false;
  });
}

function stop(problem) {
  stream?.close();
  stream = null;
  $("result").srcObject = $("own").srcObject = null;
  $("own").hidden = $("unmute").hidden = true;
  $("result").muted = false;
  showRunning(false);
  figures.clear();
  setState(problem ? "failed" : "idle", problem ? "Stopped" : "Not running");
  complain(problem);
}

$("choices").addEventListener("change", showChoices);
$("choices").addEventListener("submit", (event) => {
  event.preventDefault();
  stream ? stop() : start();
});
$("interrupt").addEventListener("click", () => stream?.interrupt());
$("replay").addEventListener("click", () => stream?.replay());
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio]), select");
  if (event.key.toLowerCase() === "i" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) stream?.interrupt();
});
$("unmute").addEventListener("click", () => {
  $("result").muted = false;
  $("unmute").hidden = true;
});
$("avatar-file").addEventListener("change", () =>
  guarded(async () => {
    const file = $("avatar-file").files[0];
    if (!file) return;
    setState("busy", "Preparing the avatar");
    try {
      await listAvatars((await server.addAvatar(file)).id);
    } finally {
      setState("idle", "Not running");
      $("avatar-file").value = "";
    }
  }),
);
$("token").addEventListener("change", () => {
  server.setToken($("token").value);
  guarded(listAvatars);
});
navigator.mediaDevices?.addEventListener("devicechange", listDevices);
addEventListener("pagehide", () => stream?.close());

showChoices();
showRunning(false);
if (watching) {
  $("hint").textContent = "Press Start to watch.";
  document.querySelector("#delay + .unit").textContent = "ms, from the server on";
} else {
  listDevices();
  guarded(listAvatars);
}
