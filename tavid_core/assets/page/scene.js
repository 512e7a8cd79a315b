"use strict";
// A small 3D view on a 2D canvas: orbit camera, painter's order, no dependencies.
// Coordinates are metres in the camera's optical frame: x right, y down, z forward.
const BONES = [
  ["head", "left_shoulder"], ["head", "right_shoulder"], ["left_shoulder", "right_shoulder"],
  ["left_shoulder", "left_elbow"], ["right_shoulder", "right_elbow"],
  ["left_elbow", "left_hand"], ["right_elbow", "right_hand"],
];

function mix(a, b, share) { return a.map((value, axis) => value + (b[axis] - value) * share); }

// Position at a fractional frame; null where the point is lost.
function sampleTrack(points, frame) {
  const before = Math.min(Math.floor(frame), points.length - 1);
  const after = Math.min(before + 1, points.length - 1);
  const a = points[before], b = points[after];
  if (!a || !b) return a || null;
  return mix(a, b, frame - before);
}

class SpaceView {
  constructor(canvas, data) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.data = data;
    this.tracks = [...data.motion.hands, ...data.motion.body, data.motion.target];
    this.byName = Object.fromEntries(this.tracks.map((track) => [track.name, track]));
    const seen = this.tracks.flatMap((track) => track.positions_camera_m.filter(Boolean));
    this.center = data.motion.target.positions_camera_m.find(Boolean) || [0, 0, 1];
    if (seen.length) this.center = mix(this.center, median(seen), 0.6);
    // A little towards the camera, so that its frustum is in view from the start.
    this.center = this.center.map((value) => 0.72 * value);
    this.cloud = decodeCloud(data.cloud);
    this.reset();
    this.listen();
  }

  reset() {
    this.yaw = -0.7;
    this.pitch = 0.28;
    this.distance = 2.45 * Math.hypot(...this.center);
    this.frame = this.frame || 0;
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      this.last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      this.turn(event.clientX - this.last[0], event.clientY - this.last[1]);
      this.last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => { this.last = null; });
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.0012));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { this.reset(); this.draw(); });
  }

  turn(dx, dy) {
    this.yaw += dx * 0.008;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + dy * 0.008));
    this.draw();
  }

  zoom(factor) {
    this.distance = Math.max(0.1, Math.min(50, this.distance * factor));
    this.draw();
  }

  // Pixel and depth of a point, or null behind the eye.
  project(point) {
    const [x, y, z] = point.map((value, axis) => value - this.center[axis]);
    const sideways = Math.cos(this.yaw) * x + Math.sin(this.yaw) * z;
    const inward = -Math.sin(this.yaw) * x + Math.cos(this.yaw) * z;
    const down = Math.cos(this.pitch) * y + Math.sin(this.pitch) * inward;
    const ahead = -Math.sin(this.pitch) * y + Math.cos(this.pitch) * inward + this.distance;
    if (ahead < 0.02) return null;
    const scale = 1.15 * Math.min(this.width, this.height * 1.5) / ahead;
    return [this.width / 2 + sideways * scale, this.height / 2 + down * scale, ahead];
  }

  draw(frame = this.frame) {
    this.frame = frame;
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.drawCloud();
    this.drawFrustum();
    this.drawBody();
    for (const track of [...this.data.motion.hands, this.data.motion.target]) this.drawPath(track);
    this.drawTargetBox();
    this.drawContact();
  }

  line(points, color, width, alpha = 1) {
    const context = this.context;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.globalAlpha = alpha;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    let pen = false;
    for (const point of points) {
      const at = point && this.project(point);
      if (at) context[pen ? "lineTo" : "moveTo"](at[0], at[1]);
      pen = Boolean(at);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  dot(point, color, radius, hollow = false) {
    const at = point && this.project(point);
    if (!at) return;
    const context = this.context;
    context.beginPath();
    context.arc(at[0], at[1], radius, 0, 2 * Math.PI);
    context.strokeStyle = hollow ? color : "#0f1116";
    context.lineWidth = hollow ? 2.5 : 1.5;
    context.fillStyle = color;
    if (!hollow) context.fill();
    context.stroke();
  }

  drawCloud() {
    const { points, colors } = this.cloud;
    const order = [];
    for (let i = 0; i < points.length; i += 1) {
      const at = this.project(points[i]);
      if (at) order.push([at[2], at[0], at[1], colors[i]]);
    }
    order.sort((a, b) => b[0] - a[0]);
    this.context.globalAlpha = this.data.cloud && this.data.cloud.is_flat ? 0.22 : 0.75;
    for (const [ahead, x, y, color] of order) {
      const size = Math.max(1, this.cloud.sizeM * 1.15 * this.width / ahead);
      this.context.fillStyle = color;
      this.context.fillRect(x - size / 2, y - size / 2, size, size);
    }
    this.context.globalAlpha = 1;
  }

  drawFrustum() {
    const camera = this.data.camera, far = 0.22;
    const corner = (u, v) => [far * (u - camera.cx) / camera.fx, far * (v - camera.cy) / camera.fy, far];
    const [w, h] = [camera.width - 0.5, camera.height - 0.5];
    const ring = [corner(-0.5, -0.5), corner(w, -0.5), corner(w, h), corner(-0.5, h)];
    this.line([...ring, ring[0]], "#7d879b", 1.5);
    for (const point of ring) this.line([[0, 0, 0], point], "#7d879b", 1.2, 0.8);
    this.dot([0, 0, 0], "#c8cdd7", 3.5);
  }

  drawBody() {
    const at = (name) => this.byName[name] && sampleTrack(this.byName[name].positions_camera_m, this.frame);
    for (const [from, to] of BONES) {
      const ends = [at(from), at(to)];
      if (ends[0] && ends[1]) this.line(ends, "#c8cdd7", 3, 0.85);
    }
    for (const track of this.data.motion.body) this.dot(at(track.name), "#c8cdd7", 3.5);
    for (const hand of this.data.motion.hands) this.drawAxes(hand);
  }

  // Where a hand points: its x, y and z axis in red, green and blue, 6 cm long.
  drawAxes(hand) {
    const frame = Math.round(this.frame), at = hand.positions_camera_m[frame];
    const turn = hand.quaternions_xyzw && hand.quaternions_xyzw[frame];
    if (!at || !turn) return;
    ["#ff6b6b", "#7ee787", "#6ea8fe"].forEach((color, axis) => {
      const way = rotate(turn, [0, 1, 2].map((other) => (other === axis ? 0.06 : 0)));
      this.line([at, way.map((value, other) => value + at[other])], color, 2);
    });
  }

  drawPath(track) {
    const color = this.data.colors[track.name] || "#c8cdd7";
    const now = Math.floor(this.frame), points = track.positions_camera_m;
    const here = sampleTrack(points, this.frame);
    this.line(points.slice(now), color, 1.5, 0.3);
    this.line([...points.slice(0, now + 1), here], color, 3);
    this.dot(here, color, track.name === "target" ? 8 : 6.5);
  }

  // The target's outer size, turned as the target is; without a measured rotation it stays as it was.
  drawTargetBox() {
    const size = this.data.target_size_m, motion = this.data.motion;
    const center = sampleTrack(motion.target.positions_camera_m, this.frame);
    if (!size || !center) return;
    const turn = motion.target_quaternions_xyzw[Math.round(this.frame)] || [0, 0, 0, 1];
    const corner = (index) => rotate(turn, size.map((side, axis) => ((index >> axis & 1) - 0.5) * side))
      .map((value, axis) => value + center[axis]);
    for (let index = 0; index < 8; index += 1) {
      for (const bit of [1, 2, 4]) {
        if (!(index & bit)) this.line([corner(index), corner(index | bit)], this.data.colors.target, 1.5, 0.9);
      }
    }
  }

  drawContact() {
    const contact = this.data.motion.contact;
    if (!contact.touches_target || !contact.point_camera_m) return;
    const active = this.frame >= contact.start_frame;
    this.dot(contact.point_camera_m, active ? "#78ffaa" : "#4b6b58", 12, true);
  }
}

// A vector turned by a unit quaternion x y z w.
function rotate([x, y, z, w], v) {
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const t = cross([x, y, z], v).map((value) => 2 * value);
  const u = cross([x, y, z], t);
  return v.map((value, axis) => value + w * t[axis] + u[axis]);
}

function median(points) {
  const middle = (axis) => points.map((point) => point[axis]).sort((a, b) => a - b)[points.length >> 1];
  return [middle(0), middle(1), middle(2)];
}

// Points as little-endian int16 millimetres and RGB bytes, see page.py.
function decodeCloud(cloud) {
  const decoded = { points: [], colors: [], sizeM: cloud ? cloud.size_m : 0 };
  if (!cloud) return decoded;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes(cloud.points_mm).buffer), colors = bytes(cloud.colors);
  for (let i = 0; i + 2 < colors.length; i += 3) {
    const metre = (axis) => view.getInt16(2 * (i + axis), true) / 1000;
    decoded.points.push([metre(0), metre(1), metre(2)]);
    decoded.colors.push(`rgb(${colors[i]},${colors[i + 1]},${colors[i + 2]})`);
  }
  return decoded;
}
