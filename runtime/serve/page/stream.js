// One live stream: camera or avatar, microphone or sound file in; synced video with its sound out.

import * as server from "./server.js";

const GATHERING_MS = 2000; // addresses of this machine come at once; nothing else is asked

export class Stream {
  constructor({ onTrack, onStats, onEnd }) {
    Object.assign(this, { onTrack, onStats, onEnd, closed: false, tracks: [] });
  }

  async open(choice) {
    const input = (this.input = new MediaStream());
    if (choice.face === "watch") return this.#connect(choice);
    if (choice.face === "camera") input.addTrack(await this.#camera(choice.camera));
    input.addTrack(choice.voice === "file" ? await this.#soundFile(choice.file) : await this.#microphone(choice.microphone));
    await this.#connect(choice);
  }

  interrupt() {
    this.player?.pause();
    this.#send({ type: "interrupt" });
  }

  replay() {
    if (!this.player) return;
    this.player.currentTime = 0;
    this.player.play();
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.player?.pause();
    if (this.playerUrl) URL.revokeObjectURL(this.playerUrl);
    this.audio?.close();
    this.input?.getTracks().forEach((track) => track.stop());
    this.peer?.close();
  }

  async #camera(deviceId) {
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25, max: 30 } };
    if (deviceId) video.deviceId = { exact: deviceId };
    return (await devices({ video })).getVideoTracks()[0];
  }

  async #microphone(deviceId) {
    const audio = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };
    if (deviceId) audio.deviceId = { exact: deviceId };
    return (await devices({ audio })).getAudioTracks()[0];
  }

  async #soundFile(file) {
    if (!file) throw new Error("Choose a sound file first.");
    this.audio = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    this.playerUrl = URL.createObjectURL(file);
    this.player = new Audio(this.playerUrl);
    await new Promise((done, fail) => {
      this.player.oncanplay = done;
      this.player.onerror = () => fail(new Error(`${file.name} cannot be played by this browser.`));
    });
    const target = this.audio.createMediaStreamDestination();
    this.audio.createMediaElementSource(this.player).connect(target);
    return target.stream.getAudioTracks()[0];
  }

  async #connect(choice) {
    const peer = (this.peer = new RTCPeerConnection());
    const output = new MediaStream();
    peer.ontrack = ({ track }) => {
      output.addTrack(track);
      this.onTrack(output);
    };
    peer.onconnectionstatechange = () => this.#stateChanged();
    this.channel = peer.createDataChannel("control");
    this.channel.onmessage = ({ data }) => this.#told(JSON.parse(data));
    this.input.getTracks().forEach((track) => peer.addTrack(track, this.input));
    if (choice.face !== "camera") peer.addTransceiver("video", { direction: "recvonly" });
    if (choice.face === "watch") peer.addTransceiver("audio", { direction: "recvonly" });
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const { face, avatar } = choice;
    const answer = await server.offer(peer.localDescription, { source: face, ...(face === "avatar" && { avatar }) });
    await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    this.timer = setInterval(() => this.#measure(), 1000);
  }

  #stateChanged() {
    const state = this.peer.connectionState;
    if (state === "connected" && this.player) this.audio.resume().then(() => this.player.play());
    if (state === "failed" || state === "closed") this.#end("The connection was lost.");
  }

  #told(message) {
    if (message.type === "stats") this.serverStats = message;
    if (message.type === "error") this.#end(message.message);
    if (message.type === "ended") this.#end(null);
  }

  #end(problem) {
    if (this.closed) return;
    this.close();
    this.onEnd(problem);
  }

  #send(message) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  async #measure() {
    if (this.closed) return;
    const found = { server: this.serverStats ?? null, roundTripMs: 0 };
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === "inbound-rtp") found[report.kind] = report;
      if (report.type === "candidate-pair" && report.nominated) found.roundTripMs = 1000 * (report.currentRoundTripTime ?? 0);
    }
    this.onStats(found);
  }
}

async function devices(wanted) {
  if (!navigator.mediaDevices)
    throw new Error("Browsers give camera and microphone only to pages on https:// or on localhost.");
  try {
    return await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    const what = wanted.video ? "camera" : "microphone";
    const why = {
      NotAllowedError: `The browser was not allowed to use the ${what}.`,
      NotFoundError: `There is no ${what}.`,
      NotReadableError: `The ${what} is in use by another program.`,
    };
    throw new Error(why[error.name] ?? `The ${what} cannot be used (${error.name}).`);
  }
}

function gathered(peer) {
  return new Promise((done) => {
    const check = () => peer.iceGatheringState === "complete" && done();
    peer.onicegatheringstatechange = check;
    check();
    setTimeout(done, GATHERING_MS);
  });
}
