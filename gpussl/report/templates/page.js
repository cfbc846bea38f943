
"use strict";
for (const button of document.querySelectorAll("[data-cell]")) {
  button.onclick = () => {
    const cell = document.getElementById(button.dataset.cell);
    for (const other of document.querySelectorAll(".cell")) if (other !== cell) other.hidden = true;
    for (const other of document.querySelectorAll("[data-cell]")) other.setAttribute("aria-expanded", "false");
    cell.hidden = !cell.hidden;
    button.setAttribute("aria-expanded", String(!cell.hidden));
    if (!cell.hidden) cell.scrollIntoView({ block: "nearest" });
  };
}

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function showMap(box) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const [x, y] = await Promise.all([data.x, data.y].map(async (text) => new Uint16Array((await inflated(text)).buffer)));
  const ids = new TextDecoder().decode(await inflated(data.ids)).split("\n");
  const colours = [];
  for (const one of data.colours) colours.push({ ...one, values: await inflated(one.values) });
  const canvas = box.querySelector("canvas");
  const select = box.querySelector("select");
  const about = box.querySelector(".about");
  const margin = 12;
  let chosen = colours[0];
  let place = -1;

  // ten colours that most people tell apart, for light and dark paper; hues for more
  const few = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#99705a", "#888888"];
  const hue = (value, n) => (n <= few.length ? few[value] : `hsl(${Math.round((360 * value) / n)} 70% ${value % 2 ? 42 : 60}%)`);
  const colour = (value) => (chosen.names.length ? hue(value, chosen.names.length) : `hsl(${200 - (200 * value) / 255} 80% 50%)`);
  const at = (i, size) => [margin + (x[i] / 65535) * (size.width - 2 * margin), size.height - margin - (y[i] / 65535) * (size.height - 2 * margin)];

  function draw() {
    const size = canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(size.width * scale);
    canvas.height = Math.round(size.height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const side = x.length > 20000 ? 1.6 : x.length > 2000 ? 2.6 : 5;
    const known = chosen.names.length ? chosen.names.length : 256;
    for (let value = 0; value < known; value += 1) {
      pen.fillStyle = colour(value);
      for (let i = 0; i < x.length; i += 1) {
        if (chosen.values[i] !== value) continue;
        const [px, py] = at(i, size);
        pen.fillRect(px - side / 2, py - side / 2, side, side);
      }
    }
    if (place >= 0) {
      const [px, py] = at(place, size);
      pen.lineWidth = 2;
      pen.strokeStyle = getComputedStyle(document.body).color;
      pen.strokeRect(px - 6, py - 6, 12, 12);
    }
    const legend = box.querySelector(".legend");
    const shown = chosen.names.length ? chosen.names.map((name, value) => [name, value]) : [["sure", 0], ["in doubt", 255]];
    legend.replaceChildren(
      ...shown.map(([name, value]) => {
        const item = document.createElement("li");
        const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        for (const side of ["width", "height"]) square.setAttribute(side, "100%");
        square.setAttribute("fill", colour(value));
        mark.append(square);
        item.append(mark, name);
        return item;
      }),
    );
  }

  function tell(i) {
    place = i;
    about.replaceChildren();
    if (i < 0) return draw();
    if (data.pictures[i]) {
      const image = document.createElement("img");
      image.src = data.pictures[i];
      image.alt = "";
      about.append(image);
    }
    const words = colours.map((one) => (one.names.length ? `${one.name}: ${one.names[one.values[i]]}` : `${one.name}: ${Math.round((100 * one.values[i]) / 255)} %`));
    const text = document.createElement("p");
    text.textContent = [ids[i], ...words].join(" · ");
    about.append(text);
    draw();
  }

  canvas.onmousemove = (event) => {
    const size = canvas.getBoundingClientRect();
    let best = -1;
    let nearest = 144;
    for (let i = 0; i < x.length; i += 1) {
      const [px, py] = at(i, size);
      // a point with a picture is preferred to one a little nearer
      const distance = (px - event.offsetX) ** 2 + (py - event.offsetY) ** 2 + (data.pictures[i] ? 0 : 25);
      if (distance < nearest) [nearest, best] = [distance, i];
    }
    if (best !== place) tell(best);
  };
  canvas.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      tell((place + step + x.length) % x.length);
      event.preventDefault();
    }
  };
  select.onchange = () => {
    chosen = colours[select.selectedIndex];
    draw();
  };
  window.addEventListener("resize", draw);
  window.matchMedia("print").addEventListener("change", draw);
  draw();
}

for (const box of document.querySelectorAll(".map")) showMap(box);
