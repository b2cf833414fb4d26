// Watches the page's own preview and the result for a while: numbers, flashes and beeps, each with its time in ms.
async (milliseconds) => {
  const found = { latencies: [], frames: 0, flashes: [], beeps: [], ownFlashes: [], ownBeeps: [], playout: [] };
  const shown = {};
  let running = true;

  const watch = (video, flashes, seen) => {
    const canvas = document.createElement("canvas");
    canvas.width = 320;
    canvas.height = 240;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    let dark = false;
    const look = () => {
      const now = performance.now();
      context.drawImage(video, 0, 0, 320, 240);
      const bars = context.getImageData(0, 218, 320, 1).data;
      let number = 0;
      for (let bit = 0; bit < 10; bit++) if (bars[4 * (4 + bit * 31 + 14)] > 120) number |= 1 << bit;
      const bright = context.getImageData(160, 85, 1, 1).data[0] > 120;
      if (bright && dark) flashes.push(now);
      dark = !bright;
      seen(number, now);
      if (running) video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  };
  watch(document.getElementById("own"), found.ownFlashes, (number, now) => { shown[number] = now; });
  watch(document.getElementById("result"), found.flashes, (number, now) => {
    found.frames += 1;
    if (number in shown && now - shown[number] < 5000) found.latencies.push(now - shown[number]);
  });

  const audio = new AudioContext();
  const samples = new Float32Array(512);
  const listen = (stream, beeps) => {
    const analyser = audio.createAnalyser();
    analyser.fftSize = 512;
    audio.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    let heard = 0;
    return setInterval(() => {
      const now = performance.now();
      analyser.getFloatTimeDomainData(samples);
      if (!samples.some((sample) => Math.abs(sample) > 0.1)) return;
      if (now - heard > 300) beeps.push(now);
      heard = now;
    }, 4);
  };
  const microphone = window.given.find((stream) => stream.getAudioTracks().length);
  const ears = [listen(document.getElementById("result").srcObject, found.beeps), listen(microphone, found.ownBeeps)];
  // How much later, by the browser's own account, sound is played than the picture it belongs to.
  const account = setInterval(async () => {
    const played = {};
    for (const report of (await window.peers.at(-1).getStats()).values())
      if (report.type === "inbound-rtp") played[report.kind] = report.estimatedPlayoutTimestamp;
    if (played.audio && played.video) found.playout.push(played.video - played.audio);
  }, 200);
  await new Promise((done) => setTimeout(done, milliseconds));
  running = false;
  clearInterval(account);
  ears.forEach(clearInterval);
  audio.close();
  return found;
}
