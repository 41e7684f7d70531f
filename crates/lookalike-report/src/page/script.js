"use strict";
document.documentElement.classList.add("has-js");
(() => {
  // Rows of pictures can be walked through by arrow keys, and filtered by what they say.
  for (const box of document.querySelectorAll("input[data-filter]")) {
    const rows = document.querySelectorAll(box.dataset.filter);
    const told = document.getElementById(box.dataset.told);
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      told.textContent = `${shown} of ${rows.length}`;
    });
  }
  document.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const shot = step && document.activeElement.closest(".shot");
    if (!shot) return;
    const shots = [...document.querySelectorAll(".shot")];
    const next = shots[shots.indexOf(shot) + step];
    if (next) { next.focus(); event.preventDefault(); }
  });

  const held = document.getElementById("map-data");
  if (!held) return;
  const data = JSON.parse(held.textContent);
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const words = text => new Uint16Array(bytes(text).buffer);
  const x = words(data.x), y = words(data.y), own = data.colours.map(colour => words(colour.values));
  const canvas = document.getElementById("map-canvas"), pen = canvas.getContext("2d");
  const told = document.getElementById("map-told"), picture = document.getElementById("map-picture");
  const choice = document.getElementById("map-colour"), only = document.getElementById("map-only");
  let scale = 1, left = 0, top_ = 0, side = 0, colour = 0, wanted = -1, marked = -1;

  const palette = () => {
    const style = getComputedStyle(document.documentElement);
    return [...Array(8).keys()].map(i => style.getPropertyValue(`--c${i}`).trim());
  };
  const hue = (value, of, colours) => of.scale
    ? `hsl(${Math.round(240 - 240 * value / 65535)} 75% 50%)`
    : value < 8 ? colours[value] : `hsl(${(value * 137) % 360} 60% 50%)`;
  const at = i => [(x[i] / 65535 - left) * scale * side, (y[i] / 65535 - top_) * scale * side];

  const draw = () => {
    const dots = devicePixelRatio || 1;
    side = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(side * dots);
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    const colours = palette(), of = data.colours[colour], values = own[colour];
    const size = Math.max(1, Math.min(5, (side / Math.sqrt(x.length)) * 0.35 * Math.sqrt(scale)));
    const style = new Map();
    for (let i = 0; i < x.length; i++) {
      if (wanted >= 0 && values[i] !== wanted) continue;
      const [u, v] = at(i);
      if (u < -5 || v < -5 || u > side + 5 || v > side + 5) continue;
      let fill = style.get(values[i]);
      if (!fill) style.set(values[i], fill = values[i] === 65535 && !of.scale ? colours[6] : hue(values[i], of, colours));
      pen.fillStyle = fill;
      pen.fillRect(u - size / 2, v - size / 2, size, size);
    }
    if (marked >= 0) {
      const [u, v] = at(marked);
      pen.strokeStyle = colours[6];
      pen.lineWidth = 2;
      pen.strokeRect(u - 6, v - 6, 12, 12);
    }
  };
  // A grid of places finds the instance under the pointer.
  const cells = 256, grid = new Map();
  for (let i = 0; i < x.length; i++) {
    const cell = (x[i] >> 8) * cells + (y[i] >> 8);
    if (grid.has(cell)) grid.get(cell).push(i); else grid.set(cell, [i]);
  }
  const nearest = (u, v) => {
    const a = (u / side / scale + left) * 65535, b = (v / side / scale + top_) * 65535;
    const reach = Math.ceil(12 / side / scale * 256);
    let best = -1, least = Math.pow(12 / side / scale * 65535, 2);
    for (let i = (a >> 8) - reach; i <= (a >> 8) + reach; i++)
      for (let j = (b >> 8) - reach; j <= (b >> 8) + reach; j++)
        for (const one of grid.get(i * cells + j) || []) {
          if (wanted >= 0 && own[colour][one] !== wanted) continue;
          const far = (x[one] - a) ** 2 + (y[one] - b) ** 2;
          if (far < least) { least = far; best = one; }
        }
    return best;
  };
  const tell = i => {
    marked = i;
    if (i >= 0) {
      const says = data.colours.map((of, place) => {
        const value = own[place][i];
        return of.scale ? `${of.name} ${(of.scale[0] + value / 65535 * (of.scale[1] - of.scale[0])).toFixed(3)}`
          : value === 65535 ? `${of.name}: none` : `${of.name}: ${of.values_named[value] ?? value}`;
      });
      told.textContent = [data.names ? data.names[i] : `instance ${i * data.every}`, ...says].join(" · ");
      picture.className = "";
      if (data.pictures[i] !== undefined) picture.className = `i i${data.pictures[i]}`;
    }
    draw();
  };
  const zoom = (factor, u, v) => {
    const next = Math.min(200, Math.max(1, scale * factor));
    left += u / side * (1 / scale - 1 / next);
    top_ += v / side * (1 / scale - 1 / next);
    scale = next;
    left = Math.min(Math.max(left, 0), 1 - 1 / scale);
    top_ = Math.min(Math.max(top_, 0), 1 - 1 / scale);
    draw();
  };
  let held_at = null, moved = false;
  const place = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", event => { held_at = place(event); moved = false; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", event => { held_at = null; if (!moved) tell(nearest(...place(event))); });
  canvas.addEventListener("pointermove", event => {
    const [u, v] = place(event);
    if (!held_at) { if (event.pointerType !== "touch") tell(nearest(u, v)); return; }
    if (Math.hypot(u - held_at[0], v - held_at[1]) > 3) moved = true;
    left -= (u - held_at[0]) / side / scale;
    top_ -= (v - held_at[1]) / side / scale;
    held_at = [u, v];
    zoom(1, 0, 0);
  });
  canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...place(event)); }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const step = 0.1 / scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (moves) { left += moves[0]; top_ += moves[1]; zoom(1, 0, 0); }
    else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.3 : 1 / 1.3, side / 2, side / 2);
    else return;
    event.preventDefault();
  });
  document.getElementById("map-in").addEventListener("click", () => zoom(1.6, side / 2, side / 2));
  document.getElementById("map-out").addEventListener("click", () => zoom(1 / 1.6, side / 2, side / 2));
  const fill = () => {
    const of = data.colours[colour];
    only.replaceChildren(new Option("all", "-1"));
    only.disabled = !!of.scale;
    (of.values_named || []).forEach((name, value) => only.add(new Option(name, value)));
    wanted = -1;
  };
  choice.addEventListener("change", () => { colour = Number(choice.value); fill(); draw(); });
  only.addEventListener("change", () => { wanted = Number(only.value); draw(); });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  fill();
  draw();
})();
