"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("plan-data").textContent);
  const { num_frames: numFrames, fps } = data.rollout;
  const { contact } = data.motion;
  const moving = [...data.motion.hands, data.motion.target];
  const video = find("video"), scrub = find("scrub");
  const view = new SpaceView(find("space"), data);
  const SPEEDS = [1, 0.5, 0.25], PAUSE_MS = 900;
  const ABOUT = {
    actor: "somebody who can act is seen", hands: "where the hands are", target: "where the target is",
    rotation: "how the target is turned", contact: "that, where and when it is touched", scale: "that a metre is a metre",
  };
  let frame = 0, isPlaying = false, hasVideo = true, lastTick = 0, speed = 0;

  function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function words(name) { return name.replace(/_/g, " "); }

  function drawMarks() {
    const canvas = find("marks"), context = canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineCap = context.lineJoin = "round";
    const [top, left, rows, columns] = data.window;
    const place = (pixel) => [(pixel[0] - left + 0.5) / columns * width, (pixel[1] - top + 0.5) / rows * height];
    for (const track of moving) {
      const color = data.colors[track.name] || "#c8cdd7", at = sampleTrack(track.pixels, frame);
      drawTrail(context, [...track.pixels.slice(0, Math.floor(frame) + 1), at], place, color);
      if (at) ring(context, place(at), 7, color);
    }
    const hand = data.motion.hands.find((track) => track.name === contact.hand);
    const at = hand && contact.touches_target && hand.pixels[contact.start_frame];
    if (at && frame >= contact.start_frame) ring(context, place(at), 15, "#78ffaa");
  }

  function drawTrail(context, pixels, place, color) {
    for (const [width, style, alpha] of [[5, "#0f1116", 0.45], [2.5, color, 0.85]]) {
      context.beginPath();
      let pen = false;
      for (const pixel of pixels) {
        if (pixel) context[pen ? "lineTo" : "moveTo"](...place(pixel));
        pen = Boolean(pixel);
      }
      context.globalAlpha = alpha;
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  function ring(context, [x, y], radius, color) {
    for (const [width, style] of [[5, "#0f1116"], [2.5, color]]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke();
    }
  }

  // What happens now, in words: the part of the motion, and how far the hand is from the target.
  function describe() {
    const now = Math.round(frame);
    const parts = data.motion.segments.filter((part) => part.start_frame <= now && now <= part.end_frame);
    const hand = data.motion.hands.find((track) => track.name === (parts.length ? parts[0].hand : contact.hand));
    if (!hand) return data.motion.hands.length ? "no hand at the target" : "no actor";
    const name = parts.length ? parts[0].name : "";
    const a = hand.positions_camera_m[now], b = data.motion.target.positions_camera_m[now];
    if (!a || !b) return [words(hand.name), name, a ? "target lost" : "hand lost"].filter(Boolean).join(" \u00b7 ");
    const way = Math.round(100 * Math.hypot(...a.map((value, axis) => value - b[axis])));
    return [words(hand.name), name, `${way} cm from the target's centre`].filter(Boolean).join(" \u00b7 ");
  }

  function show(next) {
    frame = Math.max(0, Math.min(numFrames - 1, next));
    scrub.value = String(frame);
    find("clock").textContent = `${(frame / fps).toFixed(2)} s`;
    find("state").textContent = describe();
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
    const next = hasVideo ? video.currentTime * fps - 0.5 : frame + SPEEDS[speed] * (now - lastTick) / 1000 * fps;
    lastTick = now;
    show(Math.max(0, next));
    if (hasVideo ? !video.ended : frame < numFrames - 1) {
      requestAnimationFrame(tick);
      return;
    }
    // Again and again until somebody stops it: two seconds are over before one has looked.
    show(numFrames - 1);
    setTimeout(() => { if (isPlaying) setPlaying(true); }, PAUSE_MS);
  }

  // Parts of the motion on the time line; of a plan without parts, the contact alone.
  function fillTimeline() {
    const { segments } = data.motion, last = Math.max(numFrames - 1, 1);
    const parts = segments.length ? segments.map((part) => [part.name, part.start_frame, part.end_frame])
      : contact.start_frame === null ? [] : [["contact", contact.start_frame, contact.end_frame]];
    for (const [name, first, end] of parts) {
      const span = make("div", `span ${name}`, name);
      span.title = `${name}: ${(first / fps).toFixed(2)} to ${(end / fps).toFixed(2)} s`;
      span.style.left = `${100 * first / last}%`;
      span.style.width = `${100 * Math.min(end - first + 1, numFrames - 1 - first) / last}%`;
      find("spans").append(span);
    }
    if (!contact.touches_target || contact.start_frame === null) return;
    const share = contact.start_frame / last, touch = find("touch");
    touch.hidden = false;
    touch.classList.toggle("late", share > 0.7);
    touch.style.left = `calc(var(--thumb) / 2 + ${share} * (100% - var(--thumb)) - 1px)`;
    touch.append(make("span", "", `touch ${(contact.start_frame / fps).toFixed(2)} s`));
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
      if (ABOUT[name]) bar.append(make("span", "about", ABOUT[name]));
      if (reason) bar.append(make("span", "reason", reason));
      find("bars").append(bar);
    }
  }

  function fillLegend() {
    const entries = moving.map((track) => [track.name, data.colors[track.name]]);
    if (contact.touches_target) entries.push(["where it is touched", "#78ffaa"]);
    if (data.motion.body.length) entries.push(["body", "#c8cdd7"]);
    entries.push(["camera", "#7d879b"]);
    for (const [name, color] of entries) {
      const item = make("span", "", words(name));
      item.style.setProperty("--swatch", color);
      find("legend").append(item);
    }
  }

  function fillViews() {
    const buttons = ["slanted", "camera", "side", "top"].map((name) => {
      const button = make("button", "", name);
      button.type = "button";
      button.addEventListener("click", () => { view.look(name); });
      return button;
    });
    find("views").append(...buttons);
    view.onLook = (name) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
    };
    view.onLook("slanted");
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

  function listen() {
    find("play").addEventListener("click", () => setPlaying(!isPlaying));
    find("speed").addEventListener("click", () => {
      speed = (speed + 1) % SPEEDS.length;
      video.playbackRate = SPEEDS[speed];
      find("speed").textContent = `${SPEEDS[speed]} x`;
    });
    scrub.addEventListener("input", () => { setPlaying(false); seek(Math.round(Number(scrub.value))); });
    video.addEventListener("error", () => { hasVideo = false; document.documentElement.dataset.video = "failed"; });
    video.addEventListener("loadeddata", () => { document.documentElement.dataset.video = "loaded"; });
    window.addEventListener("resize", () => show(frame));
    window.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key !== " " && !step) return;
      if (event.key === " " && event.target instanceof HTMLButtonElement) return;
      event.preventDefault();
      if (step) { setPlaying(false); seek(Math.round(frame) + step); } else setPlaying(!isPlaying);
    });
  }

  function start() {
    scrub.max = String(numFrames - 1);
    scrub.step = "any";
    document.documentElement.style.setProperty("--aspect", `${data.rollout.width} / ${data.rollout.height}`);
    listen();
    fillTimeline();
    fillBars();
    fillLegend();
    fillViews();
    fillProvenance();
    // "#frame=12" opens the page at that frame, and still.
    const asked = /^#frame=(\d+)$/.exec(window.location.hash);
    seek(asked ? Number(asked[1]) : 0);
    document.documentElement.dataset.frame = String(frame);
    document.documentElement.dataset.status = "ready";
    if (!asked && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) setPlaying(true);
  }

  start();
})();
