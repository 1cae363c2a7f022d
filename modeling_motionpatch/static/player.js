/* Motions as `player_clip` makes them -> canvases that play: play, scrub, turn by dragging or with the arrow keys. */
"use strict";

const MotionPlayer = (function () {
  const FOLLOW_METRES = 2.0; // ways longer than this are filmed by a camera that goes along
  const MIN_SPAN = 1.9; // metres in the picture
  const players = new Set();
  let running = false, last = 0;

  function element(name, attributes) {
    const made = document.createElement(name);
    Object.assign(made, attributes);
    return made;
  }

  function add(stage, clip, autoplay = true) {
    const canvas = element("canvas", { width: 640, height: 560, tabIndex: 0 }), ctx = canvas.getContext("2d");
    const button = element("button", { type: "button", className: "play" });
    const bar = element("input", { type: "range", min: 0, max: clip.frames.length - 1, value: 0 });
    const label = element("span", { className: "time" }), controls = element("div", { className: "controls" });
    bar.setAttribute("aria-label", "time");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "a moving skeleton; arrow keys turn it");
    controls.append(button, bar, label);
    stage.append(canvas, controls);

    const T = clip.frames.length, n = clip.frames[0].length / 3, root = 3 * clip.root;
    const still = window.matchMedia && matchMedia("(prefers-reduced-motion: reduce)").matches;
    const player = { canvas, tick, visible: true, frame: 0, playing: autoplay && !still && T > 1 };
    let azimuth = clip.azimuth, elevation = 0.22, held = null;

    let low = [1e9, 1e9], high = [-1e9, -1e9];
    for (const f of clip.frames) for (const k of [0, 1]) {
      low[k] = Math.min(low[k], f[root + 2 * k] / 1000); high[k] = Math.max(high[k], f[root + 2 * k] / 1000);
    }
    const follow = Math.max(high[0] - low[0], high[1] - low[1]) > FOLLOW_METRES;
    const centre = f => follow ? [f[root] / 1000, f[root + 2] / 1000] : [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    let top = 1.2, reach = 0.5;
    for (const f of clip.frames) {
      const c = centre(f);
      for (let j = 0; j < n; j++) {
        top = Math.max(top, f[3 * j + 1] / 1000);
        reach = Math.max(reach, Math.hypot(f[3 * j] / 1000 - c[0], f[3 * j + 2] / 1000 - c[1]));
      }
    }
    const span = Math.max(MIN_SPAN, top + 0.35, 2 * reach); // the picture is wider than high

    function draw() {
      const f = clip.frames[Math.min(T - 1, Math.floor(player.frame))], mid = centre(f);
      const ca = Math.cos(azimuth), sa = Math.sin(azimuth), ce = Math.cos(elevation), se = Math.sin(elevation);
      const scale = Math.min(canvas.width, canvas.height) / span;
      const project = function (x, y, z) {
        x -= mid[0]; y -= top / 2; z -= mid[1];
        const right = ca * x - sa * z, toward = sa * x + ca * z, up = ce * y - se * toward;
        return [canvas.width / 2 + scale * right, canvas.height / 2 - scale * up, ce * toward + se * y];
      };
      const line = function (a, b) { ctx.beginPath(); ctx.moveTo(a[0], a[1]); ctx.lineTo(b[0], b[1]); ctx.stroke(); };
      ctx.fillStyle = "#ffffff"; ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.strokeStyle = "#e4e4e4"; ctx.lineWidth = 1.5;
      const far = Math.max(1.2, Math.ceil(reach * 2) / 2 + 0.5), x0 = Math.floor((mid[0] - far) * 2) / 2, z0 = Math.floor((mid[1] - far) * 2) / 2;
      for (let i = 0; i <= 4 * far; i++) {
        line(project(x0 + i / 2, 0, z0), project(x0 + i / 2, 0, z0 + 2 * far));
        line(project(x0, 0, z0 + i / 2), project(x0 + 2 * far, 0, z0 + i / 2));
      }
      const seen = [];
      for (let j = 0; j < n; j++) seen.push(project(f[3 * j] / 1000, f[3 * j + 1] / 1000, f[3 * j + 2] / 1000));
      const bones = clip.bones.slice().sort((a, b) => seen[a[0]][2] + seen[a[1]][2] - seen[b[0]][2] - seen[b[1]][2]);
      ctx.lineCap = "round";
      for (const [a, b, color] of bones) {
        ctx.strokeStyle = color; ctx.lineWidth = color === "#aaaaaa" ? 2 : Math.max(4, 0.035 * scale); line(seen[a], seen[b]);
      }
      for (const [neck, head] of clip.heads) {
        const at = k => (f[3 * head + k] + 0.25 * (f[3 * head + k] - f[3 * neck + k])) / 1000, c = project(at(0), at(1), at(2));
        ctx.strokeStyle = "#444444"; ctx.lineWidth = 3; ctx.beginPath(); ctx.arc(c[0], c[1], 0.1 * scale, 0, 7); ctx.stroke();
      }
      bar.value = Math.floor(player.frame);
      button.textContent = player.playing ? "❚❚" : "▶";
      button.setAttribute("aria-label", player.playing ? "pause" : "play");
      label.textContent = (clip.start + player.frame / clip.fps).toFixed(1) + " s";
    }
    function tick(seconds) {
      if (!player.playing || !player.visible) return;
      const before = Math.floor(player.frame);
      player.frame = (player.frame + seconds * clip.fps) % T;
      if (Math.floor(player.frame) !== before) draw();
    }
    button.onclick = () => { player.playing = !player.playing; draw(); };
    bar.oninput = () => { player.playing = false; player.frame = Number(bar.value); draw(); };
    function turn(across, down) {
      azimuth -= across * 0.01;
      elevation = Math.max(-0.2, Math.min(1.5, elevation + down * 0.01));
      draw();
    }
    canvas.onkeydown = e => {
      const [across, down] = { ArrowLeft: [-15, 0], ArrowRight: [15, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[e.key] || [0, 0];
      if (across || down) { e.preventDefault(); turn(across, down); }
    };
    canvas.onpointerdown = e => { held = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); };
    canvas.onpointermove = e => {
      if (!held) return;
      turn(e.clientX - held[0], e.clientY - held[1]);
      held = [e.clientX, e.clientY];
    };
    canvas.onpointerup = canvas.onpointercancel = () => { held = null; };
    if (window.IntersectionObserver) {
      new IntersectionObserver(entries => { player.visible = entries[entries.length - 1].isIntersecting; }).observe(canvas);
    }
    draw();
    players.add(player);
    if (!running) { running = true; requestAnimationFrame(loop); }
    return player;
  }

  function loop(now) {
    const seconds = Math.min(0.2, (now - last) / 1000); // after a pause of the page, no leap
    last = now;
    for (const player of players) {
      if (player.canvas.isConnected) player.tick(Math.max(0, seconds)); else players.delete(player);
    }
    if (players.size) requestAnimationFrame(loop); else running = false;
  }

  return { add };
})();
