"use strict";
// Without this script the page still shows every figure; the script adds the moving one and the copy button.
window.addEventListener("error", (event) => { document.body.dataset.error = event.message; });

const show = (id) => { const node = document.getElementById(id); if (node) node.hidden = false; return node; };

function unpack(text) {  // base64 of little-endian 16-bit integers; +-16384 are the edges of the window
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true) / 16383.5);
}

function frameAt(times, t) {  // the frame before t, and how far t is on the way to the next
  let i = 0;
  while (i < times.length - 2 && times[i + 1] <= t) i++;
  return [i, Math.min(1, Math.max(0, (t - times[i]) / (times[i + 1] - times[i])))];
}

function pointPainter(motion, canvas) {
  const states = unpack(motion.states), target = unpack(motion.target), n = motion.count;
  const ratio = window.devicePixelRatio || 1, width = Math.round(520 * ratio), height = Math.round(width * motion.aspect), pen = canvas.getContext("2d");
  canvas.width = width; canvas.height = height;
  const at = (frame, i) => [states[2 * (frame * n + i)], states[2 * (frame * n + i) + 1]];
  const px = ([x, y]) => [(1 + x) * width / 2, (1 - y) * height / 2];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dot = ([x, y], radius) => { pen.beginPath(); pen.arc(x, y, radius * ratio, 0, 2 * Math.PI); pen.fill(); };
  return (t) => {
    const [frame, part] = frameAt(motion.times, t), between = (i) => {
      const a = at(frame, i), b = at(Math.min(frame + 1, motion.times.length - 1), i);
      return px([a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])]);
    };
    pen.clearRect(0, 0, width, height);
    pen.globalAlpha = 0.3; pen.fillStyle = colour("--target");
    for (let i = 0; i < target.length; i += 2) dot(px([target[i], target[i + 1]]), 2);
    pen.globalAlpha = 0.22; pen.strokeStyle = colour("--pushed"); pen.lineWidth = ratio;
    for (let i = 0; i < Math.min(n, 150); i++) {  // the way that some of the points have come
      pen.beginPath();
      for (let k = 0; k <= frame; k++) pen.lineTo(...px(at(k, i)));
      pen.lineTo(...between(i)); pen.stroke();
    }
    pen.globalAlpha = 0.85; pen.fillStyle = colour("--pushed");
    for (let i = 0; i < n; i++) dot(between(i), 2.4);
    pen.globalAlpha = 1;
  };
}

function imagePainter(motion, canvas, repaint) {
  const sheet = new Image(), scale = Math.max(1, Math.round(640 / motion.width)), pen = canvas.getContext("2d");
  canvas.width = motion.width * scale; canvas.height = motion.height * scale;
  sheet.onload = repaint;
  sheet.src = motion.sheet;
  return (t) => {
    const [frame, part] = frameAt(motion.times, t);
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(sheet, 0, (frame + Math.round(part)) * motion.height, motion.width, motion.height, 0, 0, canvas.width, canvas.height);
  };
}

function setUpMotion() {
  const holder = document.getElementById("motion-data");
  if (!holder) return;
  const motion = JSON.parse(holder.textContent), figure = show("motion"), canvas = figure.querySelector("canvas");
  const slider = figure.querySelector("input"), output = figure.querySelector("output"), button = figure.querySelector("button");
  const first = motion.times[0], last = motion.times[motion.times.length - 1];
  let started = null;
  const now = () => first + (last - first) * slider.value / 1000;
  const paint = motion.kind === "points" ? pointPainter(motion, canvas) : imagePainter(motion, canvas, () => refresh());
  const refresh = () => {
    output.textContent = "t = " + now().toFixed(2);
    slider.setAttribute("aria-valuetext", output.textContent);
    paint(now());
  };
  const stop = () => { started = null; button.textContent = "Play"; };
  const play = (stamp) => {
    if (started === null) return;
    slider.value = Math.min(1000, (stamp - started) / 4);
    refresh();
    if (slider.value < 1000) requestAnimationFrame(play); else stop();
  };
  slider.addEventListener("input", () => { stop(); refresh(); });
  button.addEventListener("click", () => {
    if (started !== null) return stop();
    const from = Number(slider.value) >= 1000 ? 0 : Number(slider.value);
    button.textContent = "Pause";
    started = performance.now() - 4 * from;
    requestAnimationFrame(play);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  const asked = /^#t=([0-9.]+)$/.exec(window.location.hash);  // report.html#t=0.5 opens at that time
  slider.value = asked ? 1000 * (Number(asked[1]) - first) / (last - first) : 1000;
  refresh();
}

function setUpCopy() {
  const button = show("copy");
  if (!button) return;
  const code = document.getElementById("bibtex");
  button.addEventListener("click", () => {
    window.getSelection().selectAllChildren(code);
    const done = () => { button.textContent = "Copied"; };
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, () => document.execCommand("copy") && done());
    else if (document.execCommand("copy")) done();
  });
}

setUpMotion();
setUpCopy();
document.body.dataset.ready = "yes";
