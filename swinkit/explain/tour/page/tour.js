"use strict";
// The moving figures of the tour. Everything it shows is in the JSON beside it; it asks nobody for anything.
(() => {
  document.body.dataset.scripted = "yes"; // what the script draws and moves is shown from here on
  const { data: D, text: T, lang } = JSON.parse(document.getElementById("data").textContent);
  const local = (x, digits, least) => (+x.toFixed(digits ?? 3) + 0).toLocaleString(lang, { maximumFractionDigits: digits ?? 3, minimumFractionDigits: least }).replace("-", "−");
  const say = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const plain = (text) => { const area = document.createElement("textarea"); area.innerHTML = text; return area.value; };
  for (const key in T) T[key] = plain(T[key]);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const widget = (name) => document.querySelector(`[data-widget=${name}]`);
  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const PARTS = ["--part-0", "--part-1", "--part-2", "--part-3"];
  const repaints = [];

  // --- drawing

  function sized(canvas, rows, columns) {
    // a canvas as sharp as the screen, with cells of equal size; returns its context in units of CSS pixels
    const wide = Math.max(40, Math.round(canvas.getBoundingClientRect().width) || 300);
    const cell = wide / columns, high = cell * rows, dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(wide * dense); canvas.height = Math.round(high * dense);
    const ctx = canvas.getContext("2d");
    ctx.setTransform(dense, 0, 0, dense, 0, 0);
    ctx.imageSmoothingEnabled = false;
    ctx.clearRect(0, 0, wide, high);
    return { ctx, cell, wide, high };
  }

  const gray = (v) => `rgb(${Math.round(18 + v * 225)},${Math.round(28 + v * 215)},${Math.round(60 + v * 180)})`;
  function diverging(v) { // v in -1..1: blue, white, orange
    const mix = (a, b, t) => Math.round(a + (b - a) * t), t = Math.abs(v), end = v < 0 ? [34, 85, 156] : [200, 84, 24];
    return `rgb(${mix(247, end[0], t)},${mix(246, end[1], t)},${mix(243, end[2], t)})`;
  }

  function middle(packed, index) {
    // mean of one map and its farthest value from it: softmax does not see a constant, so biases are drawn about their mean
    const [rows, columns] = packed.shape.slice(-2), all = packed.bytes ??= bytes(packed.data), own = all.subarray((index || 0) * rows * columns, ((index || 0) + 1) * rows * columns);
    const value = (byte) => packed.low + byte / 255 * (packed.high - packed.low), mean = value(own.reduce((sum, byte) => sum + byte, 0) / own.length);
    return { mean, most: Math.max(value(Math.max(...own)) - mean, mean - value(Math.min(...own))) || 1 };
  }

  function paintHeat(canvas, packed, index, signed, stretch) {
    // one map of `packed`; `stretch` uses the whole range of gray for this map instead of for all of them
    const [rows, columns] = packed.shape.slice(-2), all = packed.bytes ??= bytes(packed.data), from = (index || 0) * rows * columns;
    const { ctx, cell } = sized(canvas, rows, columns), { mean, most } = signed ? middle(packed, index) : {};
    let dark = 0, bright = 255;
    if (stretch) { const own = all.subarray(from, from + rows * columns); dark = Math.min(...own); bright = Math.max(dark + 1, ...own); }
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const byte = all[from + r * columns + c], share = (byte - dark) / (bright - dark), value = packed.low + byte / 255 * (packed.high - packed.low);
      ctx.fillStyle = signed ? diverging((value - mean) / most) : gray(share);
      ctx.fillRect(c * cell, r * cell, cell + 0.5, cell + 0.5);
    }
    return { ctx, cell };
  }

  const picture = new Image();
  function paintPicture(ctx, wide, high) {
    ctx.imageSmoothingEnabled = !D.tiny;
    if (picture.complete) ctx.drawImage(picture, 0, 0, wide, high);
  }

  function lines(ctx, rows, columns, cell, style, step = 1, width = 1) {
    ctx.strokeStyle = style; ctx.lineWidth = width; ctx.beginPath();
    for (let r = 0; r <= rows; r += step) { ctx.moveTo(0, r * cell); ctx.lineTo(columns * cell, r * cell); }
    for (let c = 0; c <= columns; c += step) { ctx.moveTo(c * cell, 0); ctx.lineTo(c * cell, rows * cell); }
    ctx.stroke();
  }

  function frame(ctx, r, c, cell, span = 1, style = "#ffd23f") {
    ctx.strokeStyle = "#000"; ctx.lineWidth = 4; ctx.strokeRect(c * cell, r * cell, cell * span, cell * span);
    ctx.strokeStyle = style; ctx.lineWidth = 2; ctx.strokeRect(c * cell, r * cell, cell * span, cell * span);
  }

  function paintLater(paint) { repaints.push(paint); paint(); }

  // --- controls

  function board(figure, size, paint, start) {
    // a grid that is walked by clicks and arrow keys; size() is [rows, columns], paint(canvas, place) draws and says
    const element = figure.querySelector(".board"), canvas = element.querySelector("canvas");
    const place = { r: start ? start[0] : 0, c: start ? start[1] : 0 };
    const draw = () => {
      const [rows, columns] = size();
      place.r = Math.max(0, Math.min(rows - 1, place.r)); place.c = Math.max(0, Math.min(columns - 1, place.c));
      paint(canvas, place, rows, columns);
    };
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    element.addEventListener("keydown", (event) => {
      const [rows, columns] = size(), move = moves[event.key];
      if (move) { place.r += move[0]; place.c += move[1]; }
      else if (event.key === "Home") { place.r = place.c = 0; }
      else if (event.key === "End") { place.r = rows - 1; place.c = columns - 1; }
      else return;
      event.preventDefault(); draw();
    });
    element.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect(), [rows, columns] = size();
      place.r = Math.floor((event.clientY - box.top) / box.height * rows);
      place.c = Math.floor((event.clientX - box.left) / box.width * columns);
      draw();
    });
    paintLater(draw);
    return { place, draw };
  }

  function stepper(figure, kind, count, changed, written) {
    // previous and next over `count()` things, round and round; also arrow keys while it has the focus
    const element = figure.querySelector(`[data-stepper=${kind}]`), output = element.querySelector("output");
    const state = { at: 0, show() { output.textContent = written(state.at); } };
    const go = (by) => { state.at = (state.at + by + count()) % count(); state.show(); changed(); };
    element.querySelector(".back").addEventListener("click", () => go(-1));
    element.querySelector(".on").addEventListener("click", () => go(1));
    element.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); go(by); }
    });
    state.show();
    return state;
  }

  function layerNames(select, layers) {
    layers.forEach((layer, index) => {
      select.options[index].textContent = say(T.layer, { stage: layer.stage + 1, block: layer.block + 1, kind: layer.shifted ? T.shifted_kind : T.regular_kind });
    });
  }

  // --- figures

  function vit() {
    const figure = widget("vit"), grid = D.vit.grid, total = grid * grid, out = figure.querySelector(".said");
    board(figure, () => [grid, grid], (canvas, { r, c }) => {
      const { ctx, cell, wide, high } = sized(canvas, grid, grid);
      paintPicture(ctx, wide, high);
      lines(ctx, grid, grid, cell, "rgba(255,255,255,.55)");
      ctx.strokeStyle = "rgba(255,150,60,.5)"; ctx.lineWidth = 1; ctx.beginPath();
      for (let i = 0; i < total; i++) { ctx.moveTo((c + 0.5) * cell, (r + 0.5) * cell); ctx.lineTo((i % grid + 0.5) * cell, (Math.floor(i / grid) + 0.5) * cell); }
      ctx.stroke(); frame(ctx, r, c, cell);
      out.textContent = say(T.vit, { i: r * grid + c + 1, n: total, r: r + 1, c: c + 1, m: total + 1 });
    }, [6, 6]);
  }

  function partition() {
    const figure = widget("partition"), { rows, columns, patch, values } = D.partition, out = figure.querySelector(".said"), inside = figure.querySelector(".inside");
    board(figure, () => [rows, columns], (canvas, { r, c }) => {
      const { ctx, cell, wide, high } = sized(canvas, rows, columns), [height, width] = D.size;
      ctx.fillStyle = "#000"; ctx.fillRect(0, 0, wide, high);
      paintPicture(ctx, wide * width / (columns * patch), high * height / (rows * patch));
      lines(ctx, rows, columns, cell, "rgba(255,255,255,.4)"); frame(ctx, r, c, cell);
      const big = sized(inside, patch, patch);
      big.ctx.fillStyle = "#000"; big.ctx.fillRect(0, 0, big.wide, big.high);
      const scale = picture.naturalWidth / width;
      if (picture.complete) big.ctx.drawImage(picture, c * patch * scale, r * patch * scale, patch * scale, patch * scale, 0, 0, big.wide, big.high);
      lines(big.ctx, patch, patch, big.cell, "rgba(128,128,128,.7)");
      out.textContent = say(T.partition, { r: r + 1, c: c + 1, n: values });
    }, [Math.floor(rows / 2), Math.floor(columns / 2)]);
  }

  function embedding() {
    const figure = widget("embedding"), { shown, maps } = D.embedding, canvas = figure.querySelector(".heat"), out = figure.querySelector(".said");
    const paint = () => {
      paintHeat(canvas, maps, step.at, false, true);
      const size = maps.shape[1] * maps.shape[2], one = maps.bytes.subarray(step.at * size, (step.at + 1) * size);
      const value = (byte) => local(maps.low + byte / 255 * (maps.high - maps.low), 2);
      out.textContent = say(T.channel, { i: shown[step.at] + 1, low: value(Math.min(...one)), high: value(Math.max(...one)) });
    };
    const step = stepper(figure, "channel", () => shown.length, paint, (at) => `${at + 1} / ${shown.length}`);
    paintLater(paint);
  }

  function merging() {
    const figure = widget("merging"), packed = D.merging.map, [rows, columns] = packed.shape, out = figure.querySelector(".said");
    const halves = [Math.ceil(rows / 2), Math.ceil(columns / 2)], all = bytes(packed.data);
    const part = (down, across) => ({ down, across });
    const parts = [part(0, 0), part(1, 0), part(0, 1), part(1, 1)];
    paintLater(() => figure.querySelectorAll("[data-part]").forEach((canvas) => {
      const { down, across } = parts[canvas.dataset.part], { ctx, cell } = sized(canvas, ...halves);
      for (let r = 0; r < halves[0]; r++) for (let c = 0; c < halves[1]; c++) {
        const y = 2 * r + down, x = 2 * c + across;
        ctx.fillStyle = y < rows && x < columns ? gray(all[y * columns + x] / 255) : "#000";
        ctx.fillRect(c * cell, r * cell, cell + 0.5, cell + 0.5);
      }
    }));
    board(figure, () => halves, (canvas, { r, c }) => {
      const { ctx, cell } = paintHeat(canvas, packed, 0);
      parts.forEach(({ down, across }, index) => {
        ctx.fillStyle = colour(PARTS[index]); ctx.globalAlpha = 0.4;
        for (let y = down; y < rows; y += 2) for (let x = across; x < columns; x += 2) ctx.fillRect(x * cell, y * cell, cell, cell);
        ctx.globalAlpha = 1;
      });
      frame(ctx, 2 * r, 2 * c, cell, 2);
      out.textContent = say(T.merging, { r: r + 1, c: c + 1, a: 2 * r, b: 2 * c, a1: 2 * r + 1, b1: 2 * c + 1 });
    }, [Math.floor(halves[0] / 2), Math.floor(halves[1] / 2)]);
  }

  function wmsa() {
    const figure = widget("wmsa"), slider = figure.querySelector("input"), cursor = figure.querySelector(".cursor");
    const show = () => {
      const at = Number(slider.value);
      figure.querySelectorAll("[data-row]").forEach((row) => { row.hidden = Number(row.dataset.row) !== at; });
      const side = D.costs.rows[at].side, text = say(T.slider, { side });
      figure.querySelector(".side").textContent = text; slider.setAttribute("aria-valuetext", text);
      cursor.setAttribute("x1", D.cursor[at]); cursor.setAttribute("x2", D.cursor[at]);
    };
    slider.addEventListener("input", show); show();
  }

  function shift() {
    const figure = widget("shift"), S = D.shift, [M, N] = S.window, [rows, columns] = [S.rows, S.columns], out = figure.querySelector(".said");
    const way = () => figure.querySelector("input[name=way]:checked").value;
    const where = (name, token) => { const at = S[name].windows.findIndex((one) => one.includes(token)); return at < 0 ? 0 : at; };
    const region = (name, at, seat) => name === "cyclic" ? S.regions[at][seat] : 0;

    function paintMap(canvas, place) {
      const { ctx, cell, wide, high } = sized(canvas, rows, columns), name = way(), held = S[name].windows[step.at];
      paintPicture(ctx, wide, high);
      ctx.fillStyle = "rgba(10,14,24,.5)"; ctx.fillRect(0, 0, wide, high);
      S[name].windows.forEach((one, at) => one.forEach((token, seat) => {
        if (token < 0 || at !== step.at) return;
        ctx.globalAlpha = 0.62; ctx.fillStyle = colour(PARTS[region(name, at, seat)]);
        ctx.fillRect(token % columns * cell, Math.floor(token / columns) * cell, cell, cell); ctx.globalAlpha = 1;
      }));
      if (cell > 5) lines(ctx, rows, columns, cell, "rgba(255,255,255,.18)");
      ctx.strokeStyle = "#fff"; ctx.lineWidth = 2; ctx.beginPath();
      const [down, across] = name === "regular" ? [0, 0] : S.shift;
      for (let r = down % M; r <= rows; r += M) { ctx.moveTo(0, r * cell); ctx.lineTo(wide, r * cell); }
      for (let c = across % N; c <= columns; c += N) { ctx.moveTo(c * cell, 0); ctx.lineTo(c * cell, high); }
      ctx.stroke();
      speak(name, held);
    }
    function paintRolled() {
      const name = way(), [a, b] = S[name].counts, high = a * M, wide = b * N;
      const { ctx, cell } = sized(figure.querySelector(".rolled"), high, wide), scale = [picture.naturalHeight / rows, picture.naturalWidth / columns];
      ctx.imageSmoothingEnabled = !D.tiny;
      S[name].windows.forEach((one, at) => one.forEach((token, seat) => {
        const y = Math.floor(at / b) * M + Math.floor(seat / N), x = at % b * N + seat % N;
        if (token < 0) { ctx.fillStyle = colour("--rule"); ctx.fillRect(x * cell, y * cell, cell + 0.5, cell + 0.5); }
        else if (picture.complete) ctx.drawImage(picture, token % columns * scale[1], Math.floor(token / columns) * scale[0], scale[1], scale[0], x * cell, y * cell, cell + 0.5, cell + 0.5);
        if (at === step.at && token >= 0) { ctx.globalAlpha = 0.5; ctx.fillStyle = colour(PARTS[region(name, at, seat)]); ctx.fillRect(x * cell, y * cell, cell, cell); ctx.globalAlpha = 1; }
      }));
      ctx.strokeStyle = "#fff"; ctx.lineWidth = 3; ctx.beginPath();
      for (let r = 0; r <= high; r += M) { ctx.moveTo(0, r * cell); ctx.lineTo(wide * cell, r * cell); }
      for (let c = 0; c <= wide; c += N) { ctx.moveTo(c * cell, 0); ctx.lineTo(c * cell, high * cell); }
      ctx.stroke(); ctx.strokeStyle = "#444"; ctx.lineWidth = 1; ctx.stroke();
      frame(ctx, Math.floor(step.at / b) * M / M, step.at % b, cell * M, 1);
    }
    const forbidden = (name, at, held, q, k) => name === "padded" ? held[k] < 0 : region(name, at, q) !== region(name, at, k);
    function paintMask() {
      const name = way(), held = S[name].windows[step.at], count = held.length, { ctx, cell } = sized(figure.querySelector(".mask"), count, count);
      for (let q = 0; q < count; q++) for (let k = 0; k < count; k++) {
        ctx.fillStyle = forbidden(name, step.at, held, q, k) ? colour("--soft") : colour(PARTS[region(name, step.at, k)]);
        ctx.fillRect(k * cell, q * cell, cell + 0.3, cell + 0.3);
      }
      ctx.strokeStyle = colour("--quiet"); ctx.strokeRect(0, 0, cell * count, cell * count);
    }
    function speak(name, held) {
      const real = held.filter((token) => token >= 0).length, sizes = [0, 0, 0, 0], values = { i: step.at + 1, n: S[name].windows.length, t: real, e: held.length - real };
      held.forEach((_, seat) => { sizes[region(name, step.at, seat)]++; });
      const there = sizes.filter((size) => size), open = there.reduce((sum, size) => sum + size * size, 0);
      Object.assign(values, { sizes: there.join(" + "), p: local(held.length ** 2), m: local(held.length ** 2 - open) });
      out.textContent = say(T["window_" + name], values);
      figure.querySelector(".regions").style.visibility = name === "cyclic" ? "visible" : "hidden";
    }
    const all = () => { map.draw(); paintRolled(); paintMask(); step.show(); };
    const step = stepper(figure, "window", () => S[way()].windows.length, () => all(), (at) => `${at + 1} / ${S[way()].windows.length}`);
    step.at = S.cyclic.windows.length - 1;
    let last = null;
    const map = board(figure, () => [rows, columns], (canvas, place) => {
      const here = place.r * columns + place.c;
      if (last !== null && here !== last) { step.at = where(way(), here); last = here; paintMap(canvas, place); paintRolled(); paintMask(); step.show(); return; }
      last = here; paintMap(canvas, place);
    });
    figure.querySelectorAll("input[name=way]").forEach((input) => input.addEventListener("change", () => { step.at = Math.min(step.at, S[way()].windows.length - 1); if (way() !== "regular") step.at = S[way()].windows.length - 1; all(); }));
    paintLater(() => { paintRolled(); paintMask(); step.show(); });
  }

  function bias() {
    const figure = widget("bias"), select = figure.querySelector("select"), table = figure.querySelector(".table"), out = figure.querySelector(".said");
    layerNames(select, D.bias.layers);
    const layer = () => D.bias.layers[select.value];
    const head = stepper(figure, "head", () => layer().tables.shape[0], () => grid.draw(), (at) => say(T.head, { i: at + 1, n: layer().tables.shape[0] }));
    const grid = board(figure, () => layer().window, (canvas, { r, c }, rows, columns) => {
      const packed = layer().tables, [, high, wide] = packed.shape, { ctx, cell } = paintHeat(table, packed, head.at, true);
      ctx.strokeStyle = "#000"; ctx.lineWidth = 3; ctx.strokeRect(c * cell, r * cell, columns * cell, rows * cell);
      const own = sized(canvas, rows, columns), { mean, most } = middle(packed, head.at);
      let low = Infinity, best = null;
      for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
        const at = head.at * high * wide + (r - y + rows - 1) * wide + (c - x + columns - 1), value = packed.low + packed.bytes[at] / 255 * (packed.high - packed.low);
        own.ctx.fillStyle = diverging((value - mean) / most); own.ctx.fillRect(x * own.cell, y * own.cell, own.cell + 0.5, own.cell + 0.5);
        low = Math.min(low, value); if (!best || value > best.value) best = { value, y, x };
      }
      frame(own.ctx, r, c, own.cell);
      out.textContent = say(T.bias, { r: r + 1, c: c + 1, low: local(low, 2), high: local(best.value, 2), r1: best.y + 1, c1: best.x + 1 });
    }, [3, 3]);
    select.addEventListener("change", () => { head.at = 0; head.show(); grid.draw(); });
  }

  function attention() {
    const figure = widget("attention"), select = figure.querySelector("select"), out = figure.querySelector(".said"), few = figure.querySelector(".few");
    if (!D.attention.layers.length) return;
    layerNames(select, D.attention.layers);
    const layer = () => D.attention.layers[select.value];
    const head = stepper(figure, "head", () => layer().heads, () => grid.draw(), (at) => say(T.head, { i: at + 1, n: layer().heads }));
    const grid = board(figure, () => layer().size, (canvas, { r, c }, rows, columns) => {
      const L = layer(), data = L.rows.bytes ??= bytes(L.rows.data), peaks = L.rows.tops ??= new Uint16Array(bytes(L.rows.peaks).buffer);
      const token = r * columns + c, at = L.windows.findIndex((one) => one.includes(token)), held = L.windows[at], seat = held.indexOf(token), n = held.length;
      const row = (at * L.heads + head.at) * n + seat, peak = peaks[row] / 65535, { ctx, cell, wide, high } = sized(canvas, rows, columns);
      paintPicture(ctx, wide, high); ctx.fillStyle = "rgba(8,12,20,.62)"; ctx.fillRect(0, 0, wide, high);
      let seen = 0, best = seat;
      held.forEach((other, k) => {
        if (other < 0 || L.regions[at][k] !== L.regions[at][seat]) return;
        const share = data[row * n + k];
        seen++;
        if (share > data[row * n + best]) best = k;
        ctx.fillStyle = `rgba(255,150,40,${0.06 + 0.94 * share / 255})`;
        ctx.fillRect(other % columns * cell, Math.floor(other / columns) * cell, cell, cell);
        ctx.strokeStyle = "rgba(255,255,255,.28)"; ctx.lineWidth = 1; ctx.strokeRect(other % columns * cell, Math.floor(other / columns) * cell, cell, cell);
      });
      frame(ctx, r, c, cell);
      out.textContent = say(T.attention, { r: r + 1, c: c + 1, v: seen, w: local(peak * data[row * n + best] / 2.55, 1), r1: Math.floor(held[best] / columns) + 1, c1: held[best] % columns + 1 });
      few.textContent = L.heads < L.all_heads ? say(T.few, { shown: L.heads, all: L.all_heads }) : "";
    }, D.attention.layers[0].size.map((side) => Math.floor(side / 2)));
    select.addEventListener("change", () => { head.at = 0; head.show(); grid.draw(); });
  }

  function block() {
    const figure = widget("block"), route = figure.querySelector(".route"), buttons = [...route.querySelectorAll("button")], out = figure.querySelector(".said");
    let at = 0;
    const show = () => {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === at));
      const step = D.pair.steps[at], name = step.step === "attention" && step.kind === "sw" ? "step_sw" : "step_" + step.step;
      out.textContent = say(T.step, { block: step.block + 1, name: T[name], shape: step.shape.join(" × "), mean: local(step.mean), std: local(step.std) });
    };
    const go = (index) => { at = (index + buttons.length) % buttons.length; show(); };
    buttons.forEach((button, index) => button.addEventListener("click", () => go(index)));
    route.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); go(to); }
    });
    show();
  }

  function simmim() {
    const figure = widget("simmim"), R = D.reconstruction, scenes = [...figure.querySelectorAll(".scene")];
    const values = (at) => ({ i: at + 1, n: R.shares.length, p: local(R.shares[at] * 100, 0) });
    const show = () => scenes.forEach((scene, index) => {
      const one = R.scenes[index].steps[step.at];
      for (const name of ["masked", "painted", "error"]) scene.querySelector(`[data-part=${name}]`).src = one[name];
      scene.querySelector(".said").textContent = say(T.simmim, { ...values(step.at), e: local(one.loss, 3, 3), b: local(one.blind, 3, 3) });
    });
    const step = stepper(figure, "mask", () => R.shares.length, show, (at) => say(!R.sparse && at === R.start ? T.simmim_trained : T.simmim_mask, values(at)));
    step.at = R.start; step.show(); show();
  }

  function still() {
    document.querySelectorAll("[data-heat]").forEach((canvas) => {
      const name = canvas.dataset.heat;
      const packed = name === "hierarchy" ? D.hierarchy.stages[canvas.dataset.index].strength : D.transfer[name.replace("transfer-", "")];
      paintLater(() => paintHeat(canvas, packed, 0, name !== "hierarchy"));
    });
  }

  picture.onload = () => {
    [vit, partition, embedding, merging, wmsa, shift, bias, attention, block, simmim, still].forEach((start) => start());
    document.body.dataset.ready = "yes";
  };
  picture.src = D.shown;
  const again = () => repaints.forEach((paint) => paint());
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
})();
