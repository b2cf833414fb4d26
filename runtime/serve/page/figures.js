// The figures under the picture, from the server's statistics and the browser's own.

const show = (id, value, digits = 0) => {
  document.getElementById(id).textContent = Number.isFinite(value) ? value.toFixed(digits) : "–";
};

export class Figures {
  #last = null;

  clear() {
    this.#last = null;
    for (const id of ["delay", "fps", "dropped", "compute", "compute99", "driven"]) show(id, NaN);
    document.getElementById("parts").textContent = "";
  }

  update({ server, video, audio, roundTripMs }) {
    const now = { at: performance.now(), decoded: video?.framesDecoded ?? 0, jitter: buffered(video, audio) };
    const last = this.#last;
    this.#last = now;
    const seconds = last ? (now.at - last.at) / 1000 : 0;
    if (seconds > 0) show("fps", (now.decoded - last.decoded) / seconds);
    const jitterMs = last ? meanDelay(last.jitter, now.jitter) : NaN;
    if (!server) return;
    show("delay", server.delay_ms + roundTripMs + (Number.isFinite(jitterMs) ? jitterMs : 0));
    show("dropped", server.dropped + (video?.framesDropped ?? 0));
    show("compute", server.compute_ms[0], 1);
    show("compute99", server.compute_ms[2], 1);
    show("driven", server.frames ? (100 * server.driven) / server.frames : NaN);
    const parts = [`server ${server.delay_ms.toFixed(0)} ms`, `network ${roundTripMs.toFixed(0)} ms`];
    if (Number.isFinite(jitterMs)) parts.push(`browser ${jitterMs.toFixed(0)} ms`);
    document.getElementById("parts").textContent =
      `Delay: ${parts.join(" + ")}. Sound leaves ${Math.abs(server.av_offset_ms).toFixed(1)} ms ` +
      `${server.av_offset_ms < 0 ? "before" : "after"} its frame. ` +
      `${server.width}×${server.height}, ${server.face ? "face found" : "no face in sight"}.`;
  }
}

// Both tracks are held back alike for lip-sync; the larger buffer is what one waits for.
function buffered(video, audio) {
  return [video, audio].filter(Boolean).map((report) => [report.jitterBufferDelay ?? 0, report.jitterBufferEmittedCount ?? 0]);
}

function meanDelay(last, now) {
  const means = now.map(([delay, count], i) => (1000 * (delay - (last[i]?.[0] ?? 0))) / (count - (last[i]?.[1] ?? 0)));
  return Math.max(...means.filter(Number.isFinite));
}
