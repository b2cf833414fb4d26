// Watches the page's own preview and the result for a while: numbers, flashes and beeps, each with its time in ms.
async (milliseconds) => {
  const found = { latencies: [], flashes: [], beeps: [], frames: 0 };
  const shown = {};
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 240;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const look = (video) => {
    context.drawImage(video, 0, 0, 320, 240);
    const bars = context.getImageData(0, 218, 320, 1).data;
    let number = 0;
    for (let bit = 0; bit < 10; bit++) if (bars[4 * (4 + bit * 31 + 14)] > 120) number |= 1 << bit;
    return { number, bright: context.getImageData(160, 85, 1, 1).data[0] > 120 };
  };
  const own = document.getElementById("own");
  const result = document.getElementById("result");
  let running = true;
  const preview = () => {
    const { number } = look(own);
    shown[number] = performance.now();
    if (running) own.requestVideoFrameCallback(preview);
  };
  own.requestVideoFrameCallback(preview);
  let dark = true;
  const watch = () => {
    const now = performance.now();
    const { number, bright } = look(result);
    found.frames += 1;
    if (number in shown && now - shown[number] < 5000) found.latencies.push(now - shown[number]);
    if (bright && dark) found.flashes.push(now);
    dark = !bright;
    if (running) result.requestVideoFrameCallback(watch);
  };
  result.requestVideoFrameCallback(watch);
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  analyser.fftSize = 512;
  audio.createMediaStreamSource(new MediaStream(result.srcObject.getAudioTracks())).connect(analyser);
  const samples = new Float32Array(512);
  let quietSince = 0;
  const ear = setInterval(() => {
    const now = performance.now();
    analyser.getFloatTimeDomainData(samples);
    if (!samples.some((sample) => Math.abs(sample) > 0.1)) return;
    if (now - quietSince > 300) found.beeps.push(now);
    quietSince = now;
  }, 4);
  await new Promise((done) => setTimeout(done, milliseconds));
  running = false;
  clearInterval(ear);
  audio.close();
  return found;
}
