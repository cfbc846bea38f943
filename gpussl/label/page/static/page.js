"use strict";
// What a person labels with. Answers go into an outbox that outlives the page, and leave it when the server has them.

const $ = (id) => document.getElementById(id);
const AHEAD = 8; // points that are there before they are needed
const SMALL = 128; // pixels; smaller pictures are shown with their pixels
const RETRY = 1500; // milliseconds
const REFRESH = 4000;

const ABANDONED = 20000; // milliseconds after which a tab that has not touched its outbox is gone
const LONGEST_NAME = 80;

let screenName = sessionStorage.screen || random();
const shown = { one: { seen: [], at: -1, ahead: [] }, look: { seen: [], at: -1, ahead: [] } };
const pictures = new Map(); // kept, so that the browser has decoded them when they are needed
let view = "one";
let group = [];
let odd = new Set();
let classes = [];
let state = null;
let outbox = [];
let gestures = []; // of this page, by their names: what undo takes back
let atOnce = 200; // events to send at once
let retry = 0;
let isSending = false;
let nInFlight = 0; // events at the front of the outbox that may be with the server already
let isAway = false;
let zoomed = false;
let edited = null;

function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const number = (value) => value.toLocaleString("en");

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// --- the server

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    setAway(true);
    return null;
  }
  setAway(false);
  if (response.status === 403) {
    complain("Open the address that gpussl label prints now: this one is of an earlier start.");
    return null;
  }
  let found = null;
  try {
    found = await response.json();
  } catch {
    return null;
  }
  if (!response.ok) {
    complain(found.error || "The server has refused this.");
    return response.status < 500 ? { refusal: found.error || "refused" } : null;
  }
  return found;
}

function complain(text) {
  $("error").hidden = false;
  $("error-text").textContent = text;
}

function setAway(away) {
  if (isAway !== away) {
    isAway = away;
    showSaving();
  }
}

function say(text, waits) {
  $("saving").textContent = text;
  $("saving").classList.toggle("waits", Boolean(waits));
}

function showSaving() {
  const n = outbox.length;
  if (isAway) say(n ? `The server is away. ${n} not saved yet; they wait here.` : "The server is away.", true);
  else if (n) say(`${n} not saved yet`, n > 3);
  else say("All saved");
}

// --- the outbox: each tab has one of its own, which outlives it

const outboxName = (screen) => `gpussl-outbox:${state ? state.key : ""}:${screen}`;

function keepOutbox() {
  try {
    if (outbox.length) localStorage.setItem(outboxName(screenName), JSON.stringify({ time: Date.now(), events: outbox }));
    else localStorage.removeItem(outboxName(screenName));
  } catch {
    // no storage: what is not sent lives as long as the page
  }
  showSaving();
}

// Resolves to whether no other tab has this name; holds it until the tab is closed.
function claim(screen) {
  if (!navigator.locks) return Promise.resolve(null); // only on this machine, or with TLS
  return new Promise((resolve) => {
    navigator.locks.request(`gpussl-screen:${screen}`, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

async function adoptOutboxes() {
  // of tabs that are gone; an answer that arrives twice is taken once
  const prefix = outboxName("");
  for (const name of Object.keys(localStorage).filter((key) => key.startsWith(prefix))) {
    const screen = name.slice(prefix.length);
    try {
      const kept = JSON.parse(localStorage.getItem(name));
      if (screen !== screenName) {
        const isGone = await claim(screen);
        if (!(isGone === null ? Date.now() - kept.time > ABANDONED : isGone)) continue;
        localStorage.removeItem(name);
      }
      const known = new Set(outbox.map((event) => event.key));
      outbox.unshift(...kept.events.filter((event) => !known.has(event.key)));
      nInFlight = outbox.length; // they may have been sent already
    } catch {
      localStorage.removeItem(name); // damaged
    }
  }
  keepOutbox();
}

function put(events) {
  outbox.push(...events.map((event) => ({ by: byName(), ...event })));
  keepOutbox();
  send();
}

async function send() {
  clearTimeout(retry);
  if (isSending || !outbox.length) return;
  isSending = true;
  const by = outbox[0].by;
  let n = 0;
  while (n < outbox.length && n < atOnce && outbox[n].by === by) n += 1;
  const events = outbox.slice(0, n).map(({ point, by: _, ...event }) => event);
  nInFlight = Math.max(nInFlight, n);
  const found = await ask("api/answers", { by, events });
  isSending = false;
  if (found === null) {
    keepOutbox();
    retry = setTimeout(send, RETRY); // they may have arrived all the same, and stay in flight
    return;
  }
  if (found.refusal) {
    // one of them is no event for this server: it is found by sending fewer
    if (n > 1) atOnce = Math.ceil(n / 2);
    else refused(outbox.shift(), found.refusal);
    nInFlight = 0;
    keepOutbox();
    send();
    return;
  }
  nInFlight = 0;
  atOnce = 200;
  const done = new Set(found.saved);
  const back = outbox.filter((event) => event.key in found.refused);
  outbox = outbox.filter((event) => !done.has(event.key) && !(event.key in found.refused));
  keepOutbox();
  for (const event of back) refused(event, found.refused[event.key]);
  undone(found.undone);
  if (outbox.length) send();
  else refreshSoon();
}

function refused(event, reason) {
  complain(`Not taken${event.point ? ` for ${event.point.id}` : ""}: ${reason}`);
  if (!event.point) return;
  replace(event.point); // without the answer
  draw();
}

function replace(point) {
  for (const list of Object.values(shown)) {
    const place = list.seen.findLastIndex((one) => one.item === point.item);
    if (place >= 0) list.seen[place] = point;
  }
}

// --- points

function current() {
  const list = shown[view];
  return list && list.at >= 0 ? list.seen[list.at] : null;
}

async function fill() {
  const list = shown[view];
  if (!list || list.isFilling || list.ahead.length >= AHEAD / 2) return;
  list.isFilling = true;
  const here = list.seen[list.at];
  const have = [...list.ahead, ...(here ? [here] : []), ...outboxItems()].map((point) => point.item);
  const path = view === "one" ? "api/next" : "api/second_look";
  const found = await ask(`${path}?screen=${screenName}&n=${AHEAD}&have=${have.join(",")}`);
  list.isFilling = false;
  if (found === null || found.refusal) return;
  for (const point of found) {
    list.ahead.push(point);
    prefetch(point);
  }
  if (list.at < 0 || list.isAtEnd) {
    list.isAtEnd = false;
    forward();
  }
}

const outboxItems = () => outbox.filter((event) => event.item !== undefined);

function prefetch(point) {
  if (!point.picture || pictures.has(point.item)) return;
  const image = new Image();
  image.src = `picture/${point.item}`;
  pictures.set(point.item, image);
  if (pictures.size > 200) pictures.delete(pictures.keys().next().value);
}

function forward() {
  const list = shown[view];
  if (!list) return;
  if (list.at < list.seen.length - 1) {
    list.at += 1;
  } else if (list.ahead.length) {
    list.seen.push(list.ahead.shift());
    list.at = list.seen.length - 1;
    list.isAtEnd = false;
  } else {
    list.isAtEnd = true;
  }
  fill();
  draw();
}

function back() {
  const list = shown[view];
  if (!list) return;
  if (list.isAtEnd) list.isAtEnd = false;
  else if (list.at > 0) list.at -= 1;
  draw();
}

function answer(state_, label) {
  if (view === "group") return answerGroup(state_, label);
  const list = shown[view];
  const point = current();
  if (!point || list.isAtEnd) return;
  const before = { ...point };
  said(point, state_, label);
  const key = random();
  gestures.push(key);
  put([{ key, item: point.item, state: state_, label, settles: view === "look" || undefined, point: before }]);
  forward();
}

function answerGroup(state_, label) {
  const points = group.filter((point) => !odd.has(point.item));
  if (!points.length) return;
  const gesture = random();
  gestures.push(gesture);
  put(points.map((point, place) => ({ key: `${gesture}/${place}`, item: point.item, state: state_, label, point: { ...point } })));
  for (const point of points) said(point, state_, label);
  // the odd ones come again, without those that they stood beside
  group = [];
  odd = new Set();
  waitAndFill();
}

function said(point, state_, label) {
  // what was said of a point holds wherever it is shown, before the server has counted it
  const isNew = (one) => !one.state || one.state === "skipped";
  if (state && point.why && isNew(point) && state_ !== "skipped") state.answered += 1;
  count(point, -1);
  const now = { state: state_, label: label || "", by: byName() };
  for (const list of Object.values(shown)) {
    for (const one of [...list.seen, ...list.ahead]) if (one.item === point.item) Object.assign(one, now);
  }
  Object.assign(point, now);
  count(point, 1);
}

async function waitAndFill() {
  for (let n = 0; n < 40 && outbox.length && !isAway; n += 1) await new Promise((go) => setTimeout(go, 25));
  fillGroup();
}

async function fillGroup() {
  const found = await ask(`api/group?screen=${screenName}`);
  if (found === null || found.refusal || view !== "group") return;
  group = found;
  odd = new Set();
  draw();
}

function undo() {
  if (view === "group" && odd.size) {
    odd = new Set();
    draw();
    return;
  }
  const gesture = gestures.pop();
  const taken = outbox.slice(nInFlight).filter((event) => event.point && event.key.split("/")[0] === gesture);
  if (taken.length && taken.length === outbox.filter((event) => event.key.split("/")[0] === gesture).length) {
    // it never left this page
    outbox = outbox.filter((event) => !taken.includes(event));
    keepOutbox();
    undone(taken.reverse().map((event) => event.point));
    return;
  }
  put([{ key: random(), state: "undo", of: gesture }]);
}

function undone(points) {
  // the server says what has been taken back: it is shown again
  if (!points.length) return;
  points.forEach(prefetch);
  if (view === "group") {
    fillGroup();
    return;
  }
  points.forEach(replace);
  const list = shown[view] || shown.one;
  for (const point of points) {
    const place = list.seen.lastIndexOf(point);
    if (place >= 0) list.at = place;
    else {
      list.at = Math.max(list.at, 0);
      list.seen.splice(list.at, 0, point);
    }
  }
  list.isAtEnd = false;
  draw();
}

function count(point, change) {
  if (point.state !== "labelled") return;
  const found = classes.find((one) => one.name === point.label);
  if (found) found.count += change;
}

// --- what is shown

function draw() {
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
  $("state").hidden = view !== "state";
  $("stage").hidden = view === "state";
  $("item").hidden = view === "group";
  $("group").hidden = view !== "group";
  $("others").hidden = view === "state";
  for (const id of ["back", "forward"]) $(id).hidden = view === "group";
  $("zoom").hidden = view === "group" || !current()?.picture;
  if (view === "state") drawState();
  else if (view === "group") drawGroup();
  else drawItem();
  drawClasses();
}

function drawItem() {
  const list = shown[view];
  const point = list.isAtEnd ? null : current();
  $("item").replaceChildren(...(point ? [content(point)] : []));
  $("nothing").hidden = Boolean(point);
  $("about").replaceChildren();
  if (!point) {
    $("nothing").textContent = isAway
      ? "The server is away, and no more points are here. Your answers wait in this browser."
      : view === "one"
        ? "Nothing is left to label in this round. Learn and choose the next under “Where we are”."
        : "Nothing to look at again. What people disagree on is shown here, and after learning what the model doubts.";
    return;
  }
  const about = [point.id];
  if (view === "look") {
    if (point.label) about.push(` is ${point.label} by ${point.by || "somebody"}. `);
    if (point.said.length > 1) about.push(element("strong", `Said were ${point.said.join(", ")}. `));
    if (point.predicted) about.push(element("strong", `The model says ${point.predicted} (${Math.round(100 * point.probability)} %).`));
    if (point.label) about.push(" Enter keeps it.");
  } else if (point.state === "labelled") about.push(" is ", element("strong", point.label));
  else if (point.state) about.push(` was ${point.state === "skipped" ? "skipped" : "unusable"}`);
  $("about").replaceChildren(...about);
}

function showPixels(image) {
  image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL);
}

function content(point) {
  if (point.picture) {
    prefetch(point);
    const image = pictures.get(point.item);
    image.alt = point.id;
    const fit = () => showPixels(image);
    image.onload = fit;
    image.onerror = () => $("about").append(" (the picture cannot be read)");
    fit();
    image.classList.toggle("zoomed", zoomed);
    return image;
  }
  if (point.fields.length === 1) return element("p", point.fields[0][1] || "(empty)", "text");
  if (!point.fields.length) return element("p", point.id, "text");
  const made = element("dl");
  for (const [name, value] of point.fields) made.append(element("dt", name), element("dd", value));
  return made;
}

function drawGroup() {
  $("nothing").hidden = group.length > 0;
  $("nothing").textContent = "No look-alikes are left without an answer.";
  const focused = document.activeElement?.dataset?.item;
  $("group").replaceChildren(
    ...group.map((point) => {
      const button = element("button");
      button.type = "button";
      button.dataset.item = point.item;
      button.setAttribute("aria-pressed", String(odd.has(point.item)));
      button.setAttribute("aria-label", `${point.id}: ${odd.has(point.item) ? "left out" : "taken"}`);
      if (point.picture) {
        const image = element("img");
        image.src = `picture/${point.item}`;
        image.alt = "";
        image.onload = () => showPixels(image);
        button.append(image);
      } else {
        const text = element("span");
        for (const [name, value] of point.fields) {
          if (point.fields.length > 1) text.append(element("b", `${name} `), `${value}; `);
          else text.append(value);
        }
        if (!point.fields.length) text.append(point.id);
        button.title = text.textContent;
        button.append(text);
      }
      button.onclick = () => {
        if (!odd.delete(point.item)) odd.add(point.item);
        draw();
      };
      return button;
    }),
  );
  if (focused) $("group").querySelector(`[data-item="${focused}"]`)?.focus();
  const n = group.filter((point) => !odd.has(point.item)).length;
  $("about").textContent = group.length
    ? `A class, S or X goes to the ${n} that are not crossed out. Click on the odd ones, or move with the arrows and press space.`
    : "";
}

const lines = new Map(); // of the classes, by name: they stay, so that no click and no focus is lost

function lineOf(one) {
  const line = element("li");
  const give = element("button", undefined, "give");
  give.type = "button";
  give.append(element("kbd"), element("span", one.name, "name"), element("span", "", "count"));
  give.title = one.name;
  give.onclick = () => {
    answer("labelled", one.name);
    $("stage").focus();
  };
  const change = element("button", "…");
  change.type = "button";
  change.setAttribute("aria-label", `Change the class ${one.name}`);
  change.onclick = () => edit(classes.find((other) => other.name === one.name));
  line.append(give, change);
  return line;
}

function drawClasses() {
  const point = view === "group" || view === "state" ? null : current();
  for (const one of classes) if (!lines.has(one.name)) lines.set(one.name, lineOf(one));
  const wanted = classes.map((one) => lines.get(one.name));
  const there = [...$("classes").children];
  if (wanted.length !== there.length || wanted.some((line, place) => line !== there[place])) $("classes").replaceChildren(...wanted);
  for (const one of classes) {
    const [key, , count] = lines.get(one.name).querySelectorAll("kbd, span");
    const give = lines.get(one.name).querySelector(".give");
    if (key.textContent !== one.key.toUpperCase()) key.textContent = one.key.toUpperCase();
    if (count.textContent !== String(one.count)) count.textContent = one.count;
    give.disabled = view === "state";
    give.classList.toggle("given", Boolean(point && point.state === "labelled" && point.label === one.name));
  }
  if (state) {
    $("done").max = Math.max(1, state.asked);
    $("done").value = state.answered;
    $("n-look").textContent = state.second_look ? `(${state.second_look})` : "";
    const done = `${number(state.answered)} of ${number(state.asked)}`;
    $("project").textContent = `${state.project}: ${done}`;
    document.title = `${done}: ${state.project}`;
  }
}

function drawState() {
  if (!state) return;
  $("counts").textContent =
    `Round ${state.round}. ${number(state.answered)} of the ${number(state.asked)} points that were asked for are ` +
    `answered, ${number(state.asked - state.answered - state.skipped)} are left and ${number(state.skipped)} skipped. ` +
    `${number(state.labelled)} of ${number(state.points)} points have a label.`;
  $("said").replaceChildren(
    ...(state.said.length ? state.said : ["Nothing was learnt yet."]).map((text) => element("li", text)),
  );
  const rounds = state.rounds;
  $("progress").hidden = !rounds.lines.length;
  const lines = rounds.lines.join("\n") + (rounds.is_running ? `\n… ${rounds.seconds} s` : "");
  if ($("progress").textContent !== lines) {
    $("progress").textContent = lines;
    $("progress").scrollTop = $("progress").scrollHeight;
  }
  $("next-round").querySelector("button").disabled = rounds.is_running;
}

// --- classes

function edit(one) {
  edited = one;
  $("edit-title").textContent = one.name;
  $("edit-name").value = one.name;
  $("edit-key").value = one.key;
  $("edit").returnValue = "";
  $("edit").showModal();
}

$("edit").addEventListener("close", async () => {
  if ($("edit").returnValue !== "save") return;
  const name = $("edit-name").value.trim();
  const key = $("edit-key").value.trim().toLowerCase();
  const merges = name !== edited.name && classes.some((one) => one.name === name);
  if (merges && !confirm(`Merge “${edited.name}” into “${name}”? Its ${edited.count} labels change.`)) return;
  if (key !== edited.key) await ask("api/classes", { by: byName(), change: "key", name: edited.name, to: key });
  if (name !== edited.name) {
    const found = await ask("api/classes", { by: byName(), change: "rename", name: edited.name, to: name });
    if (found !== null && !found.refusal) {
      for (const list of Object.values(shown)) {
        for (const point of [...list.seen, ...list.ahead]) if (point.label === edited.name) point.label = name;
      }
    }
  }
  refresh();
});

$("new-class").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("class-name").value.trim();
  const found = name ? await ask("api/classes", { by: byName(), change: "add", name }) : null;
  if (found === null || found.refusal) return;
  $("class-name").value = "";
  $("stage").focus();
  refresh();
});

// --- where we are

function byName() {
  return $("by").value.trim().slice(0, LONGEST_NAME);
}

let timer = 0;
let isSoon = false;
function refreshSoon() {
  if (isSoon) return; // or it would never come while one labels quickly
  isSoon = true;
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
}

async function refresh() {
  isSoon = false;
  clearTimeout(timer);
  timer = setTimeout(refresh, state && state.rounds.is_running ? 1000 : REFRESH);
  const found = await ask(`api/state?by=${encodeURIComponent(byName())}`);
  if (found === null || found.refusal) return;
  const isNew = state === null;
  const newRound = state !== null && (found.round !== state.round || found.asked !== state.asked || found.groups > state.groups);
  state = found;
  classes = found.classes;
  if (isNew) {
    if (!byName()) $("by").value = localStorage.getItem("gpussl-by") || found.by;
    await adoptOutboxes();
    send();
    if (!classes.length) $("class-name").focus();
  }
  showSaving();
  if (newRound) {
    for (const list of Object.values(shown)) list.ahead = [];
    if (view === "group") fillGroup();
  }
  if (shown[view]) fill();
  else if (isNew && view === "group") fillGroup();
  if (view === "state") draw();
  else drawClasses();
}

$("next-round").addEventListener("submit", async (event) => {
  event.preventDefault();
  const rounds = await ask("api/round", { n_labels: Number($("n-labels").value) });
  if (rounds !== null && !rounds.refusal && state) {
    state.rounds = rounds;
    draw();
    refreshSoon();
  }
});

$("by").addEventListener("change", () => {
  localStorage.setItem("gpussl-by", byName());
  refreshSoon();
});

function show(name) {
  view = name;
  zoomed = false;
  const list = shown[view];
  if (list && current() && current().state && view === "one") {
    list.at = list.seen.length - 1; // what is open comes next, not what was said elsewhere meanwhile
    forward();
  }
  draw();
  if (view === "group" && !group.length) fillGroup();
  if (shown[view]) fill();
  if (view === "state") refresh();
  if (view !== "state") $("stage").focus();
}

// --- keys and buttons

function zoom(on) {
  zoomed = on;
  if (view !== "group") draw();
}

const keys = {
  s: () => answer("skipped"),
  x: () => answer("unusable"),
  z: undo,
  ArrowLeft: () => (view === "group" ? move(-1) : back()),
  ArrowRight: () => (view === "group" ? move(1) : forward()),
  ArrowUp: () => view === "group" && move(-columns()),
  ArrowDown: () => view === "group" && move(columns()),
  Enter: keep,
  "+": () => zoom(true),
  "-": () => zoom(false),
  "/": () => $("class-name").focus(),
};

function keep() {
  const point = current();
  if (view === "look" && point && point.state === "labelled") answer("labelled", point.label);
  else if (shown[view]) forward();
}

function columns() {
  const [first, ...rest] = $("group").children;
  const place = first ? rest.findIndex((one) => one.offsetTop > first.offsetTop) : 0;
  return Math.max(1, place + 1);
}

function move(steps) {
  const tiles = [...$("group").children];
  const at = tiles.indexOf(document.activeElement);
  tiles[at < 0 ? 0 : Math.min(tiles.length - 1, Math.max(0, at + steps))]?.focus();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || $("edit").open;
  if (event.key === "Escape" && event.target instanceof HTMLInputElement) {
    event.target.blur();
    $("stage").focus();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const onButton = event.target instanceof HTMLButtonElement;
  if (onButton && (event.key === " " || event.key === "Enter")) return; // the button's own
  const pad = /^Numpad(\d)$/.exec(event.code);
  const key = pad ? pad[1] : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && !key.startsWith("Arrow")) return; // a key that is held down is one answer
  const found = view === "state" ? null : classes.find((one) => one.key && one.key === key);
  if (found) answer("labelled", found.name);
  else if (keys[key] && view !== "state") keys[key]();
  else return;
  event.preventDefault();
});

$("skip").onclick = keys.s;
$("unusable").onclick = keys.x;
$("undo").onclick = undo;
$("back").onclick = back;
$("forward").onclick = forward;
$("zoom").onclick = () => zoom(!zoomed);
$("item").addEventListener("click", (event) => {
  if (event.target instanceof HTMLImageElement) zoom(!zoomed);
});
for (const button of document.querySelectorAll("nav button")) {
  button.onclick = () => show(button.dataset.view);
}
$("dismiss").onclick = () => {
  $("error").hidden = true;
};
window.addEventListener("online", send);

if (location.search) history.replaceState(null, "", location.pathname); // the token is a cookie now
(async () => {
  // a tab that was duplicated has the name of the other one
  if ((await claim(screenName)) === false) {
    screenName = random();
    await claim(screenName);
  }
  sessionStorage.screen = screenName;
  draw();
  refresh();
})();
