"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("plan-data").textContent);
  const { num_frames: numFrames, fps } = data.rollout;
  const video = find("video"), scrub = find("scrub");
  const view = new SpaceView(find("space"), data);
  let frame = 0, isPlaying = false, hasVideo = true, lastTick = 0;

  function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function drawMarks() {
    const canvas = find("marks"), context = canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [top, left, rows, columns] = data.window;
    for (const track of [...data.motion.hands, data.motion.target]) {
      const at = sampleTrack(track.pixels, frame);
      if (!at) continue;
      context.beginPath();
      context.arc((at[0] - left + 0.5) / columns * width, (at[1] - top + 0.5) / rows * height, 7, 0, 2 * Math.PI);
      context.strokeStyle = "#0f1116";
      context.lineWidth = 4;
      context.stroke();
      context.strokeStyle = data.colors[track.name] || "#c8cdd7";
      context.lineWidth = 2;
      context.stroke();
    }
  }

  function show(next) {
    frame = Math.max(0, Math.min(numFrames - 1, next));
    scrub.value = String(Math.round(frame));
    find("clock").textContent = `${(frame / fps).toFixed(2)} s`;
    drawMarks();
    view.draw(frame);
  }

  function seek(next) {
    show(next);
    // The middle of a frame: its first instant may round to the frame before.
    if (hasVideo) video.currentTime = (Math.round(frame) + 0.5) / fps;
  }

  function setPlaying(next) {
    isPlaying = next;
    find("play").textContent = isPlaying ? "\u275a\u275a" : "\u25b6";
    if (isPlaying && frame >= numFrames - 1) seek(0);
    if (hasVideo) (isPlaying ? video.play().catch(() => { hasVideo = false; }) : video.pause());
    lastTick = performance.now();
    if (isPlaying) requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!isPlaying) return;
    const next = hasVideo ? video.currentTime * fps : frame + (now - lastTick) / 1000 * fps;
    lastTick = now;
    show(Math.max(0, hasVideo ? next - 0.5 : next));
    if (hasVideo ? video.ended : frame >= numFrames - 1) {
      setPlaying(false);
      show(numFrames - 1);
      return;
    }
    requestAnimationFrame(tick);
  }

  // Parts of the motion under the timeline; of a plan without parts, the contact alone.
  function fillSpans() {
    const { segments, contact } = data.motion;
    const parts = segments.length ? segments.map((part) => [part.name, part.start_frame, part.end_frame])
      : contact.start_frame === null ? [] : [["contact", contact.start_frame, contact.end_frame]];
    for (const [name, first, last] of parts) {
      const span = make("div", `span ${name}`);
      span.title = `${name}: ${(first / fps).toFixed(2)} to ${(last / fps).toFixed(2)} s`;
      span.style.left = `${100 * first / Math.max(numFrames - 1, 1)}%`;
      span.style.width = `${100 * Math.min(last - first + 1, numFrames - 1 - first) / Math.max(numFrames - 1, 1)}%`;
      find("spans").append(span);
    }
    for (const name of new Set(parts.map((part) => part[0]))) find("span-names").append(make("span", name, name));
  }

  function fillBars() {
    for (const [name, value] of Object.entries(data.motion.confidence)) {
      const bar = make("div", "bar");
      const track = make("div", "track"), fill = make("div", "fill");
      fill.style.width = `${Math.round(100 * value)}%`;
      fill.style.background = `var(--${value < 0.3 ? "poor" : value < 0.5 ? "fair" : "good"})`;
      track.append(fill);
      bar.append(make("span", "name", name), track, make("span", "value", `${Math.round(100 * value)} %`));
      const reason = data.motion.reasons[name];
      if (reason) bar.append(make("span", "reason", reason));
      find("bars").append(bar);
    }
  }

  function fillLegend() {
    const entries = [...data.motion.hands, data.motion.target].map((track) => [track.name, data.colors[track.name]]);
    if (data.motion.contact.touches_target) entries.push(["contact point", "#78ffaa"]);
    entries.push(["camera", "#7d879b"]);
    for (const [name, color] of entries) {
      const item = make("span", "", name.replace(/_/g, " "));
      item.style.setProperty("--swatch", color);
      find("legend").append(item);
    }
  }

  function fillProvenance() {
    const flatten = (value, key) => (value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.entries(value).flatMap(([name, inner]) => flatten(inner, key ? `${key}.${name}` : name))
      : [[key, Array.isArray(value) ? value.join(" x ") : String(value)]]);
    for (const [key, value] of [...flatten(data.request, "request"), ...flatten(data.provenance, "")]) {
      const row = make("tr", "");
      row.append(make("td", "", key), make("td", "", value));
      find("provenance").append(row);
    }
  }

  function start() {
    scrub.max = String(numFrames - 1);
    find("stage").style.setProperty("--aspect", `${data.rollout.width} / ${data.rollout.height}`);
    fillSpans();
    find("play").addEventListener("click", () => setPlaying(!isPlaying));
    scrub.addEventListener("input", () => { setPlaying(false); seek(Number(scrub.value)); });
    video.addEventListener("error", () => { hasVideo = false; document.documentElement.dataset.video = "failed"; });
    video.addEventListener("loadeddata", () => { document.documentElement.dataset.video = "loaded"; });
    window.addEventListener("resize", () => show(frame));
    window.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.target === scrub || (event.key !== " " && !step)) return;
      event.preventDefault();
      if (step) { setPlaying(false); seek(Math.round(frame) + step); } else setPlaying(!isPlaying);
    });
    fillBars();
    fillLegend();
    fillProvenance();
    // "#frame=12" opens the page at that frame.
    const asked = /^#frame=(\d+)$/.exec(window.location.hash);
    seek(asked ? Number(asked[1]) : 0);
    document.documentElement.dataset.frame = String(frame);
    document.documentElement.dataset.status = "ready";
  }

  start();
})();
