"use strict";
// A small 3D view on a 2D canvas: orbit camera, painter's order, no dependencies.
// Coordinates are metres in the camera's optical frame: x right, y down, z forward.
// From, to, and thickness in metres.
const BONES = [
  ["left_shoulder", "right_shoulder", 0.09], ["left_hip", "right_hip", 0.09], ["left_shoulder", "left_hip", 0.09],
  ["right_shoulder", "right_hip", 0.09],
  ...["left", "right"].flatMap((side) => [
    [`${side}_shoulder`, `${side}_elbow`, 0.07], [`${side}_elbow`, `${side}_hand`, 0.055],
    [`${side}_hip`, `${side}_knee`, 0.1], [`${side}_knee`, `${side}_ankle`, 0.075],
    [`${side}_hand`, `${side}_index_knuckle`, 0.02], [`${side}_hand`, `${side}_pinky_knuckle`, 0.02],
    [`${side}_index_knuckle`, `${side}_index_tip`, 0.015], [`${side}_hand`, `${side}_thumb_tip`, 0.015],
  ]),
];
const HEAD_M = 0.1, BODY_NEARER_M = 0.1, BODY_COLOR = "#aeb8cc", SKIN = [174, 184, 204], ZOOM = 1.15, LIGHT = [-0.4, -0.7, -0.6];
const VIEWS = { slanted: [-0.62, 0.3], side: [-1.45, 0.12], top: [0, 1.35] };

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
    this.seen = this.tracks.flatMap((track) => track.positions_camera_m.filter(Boolean));
    this.center = data.motion.target.positions_camera_m.find(Boolean) || [0, 0, 1];
    if (this.seen.length) this.center = mix(this.center, median(this.seen), 0.5);
    this.cloud = decodeCloud(data.cloud);
    this.body = decodeBody(data.body);
    this.frame = 0;
    this.onLook = () => {};
    this.look("slanted", false);
    this.listen();
  }

  // From the camera's own place, or around the actor and the target so that all of them are in view.
  look(name, isDrawn = true) {
    const [x, y, z] = this.center;
    if (name === "camera") {
      [this.yaw, this.pitch] = [-Math.atan2(x, z), -Math.atan2(y, Math.hypot(x, z))];
      this.distance = Math.hypot(x, y, z);
    } else {
      [this.yaw, this.pitch] = VIEWS[name];
      this.distance = 2.9 * Math.max(0.3, spread(this.seen, this.center));
    }
    this.onLook(name);
    if (isDrawn) this.draw();
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
    canvas.addEventListener("dblclick", () => { this.look("slanted"); });
  }

  turn(dx, dy) {
    this.yaw += dx * 0.008;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + dy * 0.008));
    this.onLook("");
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
    const scale = this.pixelsPerMetre(ahead);
    return [this.width / 2 + sideways * scale, this.height / 2 + down * scale, ahead];
  }

  pixelsPerMetre(ahead) { return ZOOM * Math.min(this.width, this.height * 1.5) / ahead; }

  draw(frame = this.frame) {
    this.frame = frame;
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.drawSolids();
    this.drawFrustum();
    this.drawBody();
    for (const track of [...this.data.motion.hands, this.data.motion.target]) this.drawPath(track);
    this.drawTargetBox();
    this.drawContact();
    this.drawRuler();
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

  // Points and triangles of everything solid, far ones first.
  drawSolids() {
    const solids = this.body ? this.surface() : [];
    for (let i = 0; i < this.cloud.points.length; i += 1) {
      const at = this.project(this.cloud.points[i]);
      if (at) solids.push([at[2], at, this.cloud.colors[i]]);
    }
    solids.sort((a, b) => b[0] - a[0]);
    const context = this.context, faint = this.data.cloud && this.data.cloud.is_flat ? 0.22 : 0.6;
    context.lineWidth = 1;
    for (const [ahead, place, color, isTriangle] of solids) {
      context.fillStyle = color;
      context.globalAlpha = isTriangle ? 1 : faint;
      if (isTriangle) {
        this.triangle(place, color);
        continue;
      }
      const size = Math.max(1, 1.25 * this.cloud.sizeM * this.pixelsPerMetre(ahead));
      context.fillRect(place[0] - size / 2, place[1] - size / 2, size, size);
    }
    context.globalAlpha = 1;
  }

  triangle([a, b, c], color) {
    const context = this.context;
    context.strokeStyle = color;
    context.beginPath();
    context.moveTo(a[0], a[1]);
    context.lineTo(b[0], b[1]);
    context.lineTo(c[0], c[1]);
    context.closePath();
    context.fill();
    context.stroke();
  }

  // Triangles of the fitted body that face the eye, lit from above the camera.
  surface() {
    const points = this.body.frames[Math.round(this.frame)];
    const places = points.map((point) => this.project(point));
    const shown = [];
    for (const corners of this.body.triangles) {
      const [a, b, c] = corners.map((index) => places[index]);
      // Seen from behind, or behind the eye.
      if (!a || !b || !c || (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0) continue;
      const tone = 0.45 + 0.55 * Math.max(0, facing(corners.map((index) => points[index])));
      const color = `rgb(${SKIN.map((value) => Math.round(value * tone)).join()})`;
      // The picture's own actor lies on this surface, and would shine through.
      shown.push([(a[2] + b[2] + c[2]) / 3 - BODY_NEARER_M, [a, b, c], color, true]);
    }
    return shown;
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
    for (const [from, to, thickness] of this.body ? [] : BONES) {
      const ends = [at(from), at(to)];
      if (ends[0] && ends[1]) this.limb(ends, thickness);
    }
    const head = this.body ? null : at("head");
    if (head) this.limb([head, head], 2 * HEAD_M);
    for (const hand of this.data.motion.hands) this.drawAxes(hand);
  }

  // A thick line with a dark rim, so that limbs before each other are told apart.
  limb(ends, thickness) {
    const place = this.project(mix(ends[0], ends[1], 0.5));
    if (!place) return;
    const width = Math.max(3, thickness * this.pixelsPerMetre(place[2]));
    this.line(ends, "#0f1116", width + 3, 0.5);
    this.line(ends, BODY_COLOR, width, 0.9);
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

  // How long a round length is at the distance of what is looked at.
  drawRuler() {
    const scale = this.pixelsPerMetre(this.distance), context = this.context;
    const length = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((metres) => metres * scale > 44) || 10;
    const [x, y] = [14, this.height - 14];
    context.strokeStyle = context.fillStyle = "#98a1b3";
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, y - 4);
    context.lineTo(x, y);
    context.lineTo(x + length * scale, y);
    context.lineTo(x + length * scale, y - 4);
    context.stroke();
    context.font = "12px system-ui, sans-serif";
    context.fillText(length < 1 ? `${Math.round(100 * length)} cm` : `${length} m`, x + 5, y - 6);
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

// How far from the centre all but the farthest tenth of some points are.
function spread(points, center) {
  const ways = points.map((point) => Math.hypot(...point.map((value, axis) => value - center[axis])));
  return ways.sort((a, b) => a - b)[Math.floor(0.9 * ways.length)] || 0;
}

// How much a triangle faces the light, -1 to 1.
function facing([a, b, c]) {
  const [u, v] = [b, c].map((point) => point.map((value, axis) => value - a[axis]));
  const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const dot = normal.reduce((sum, value, axis) => sum + value * LIGHT[axis], 0);
  return dot / (Math.hypot(...normal) * Math.hypot(...LIGHT) || 1);
}

function decodeBytes(text) { return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); }

// Little-endian int16 millimetres per frame and vertex, and uint16 triangles, see page.py; null without a body.
function decodeBody(body) {
  if (!body) return null;
  const points = new DataView(decodeBytes(body.points_mm).buffer);
  const corners = new DataView(decodeBytes(body.triangles).buffer);
  const triple = (read, index) => [0, 1, 2].map((axis) => read(2 * (3 * index + axis)));
  const metres = (at) => points.getInt16(at, true) / 1000, number = (at) => corners.getUint16(at, true);
  return {
    frames: Array.from({ length: points.byteLength / 6 / body.num_vertices }, (_, t) => (
      Array.from({ length: body.num_vertices }, (__, v) => triple(metres, t * body.num_vertices + v)))),
    triangles: Array.from({ length: corners.byteLength / 6 }, (_, index) => triple(number, index)),
  };
}

// Points as little-endian int16 millimetres and RGB bytes, see page.py.
function decodeCloud(cloud) {
  const decoded = { points: [], colors: [], sizeM: cloud ? cloud.size_m : 0 };
  if (!cloud) return decoded;
  const view = new DataView(decodeBytes(cloud.points_mm).buffer), colors = decodeBytes(cloud.colors);
  for (let i = 0; i + 2 < colors.length; i += 3) {
    const metre = (axis) => view.getInt16(2 * (i + axis), true) / 1000;
    decoded.points.push([metre(0), metre(1), metre(2)]);
    decoded.colors.push(`rgb(${colors[i]},${colors[i + 1]},${colors[i + 2]})`);
  }
  return decoded;
}
