// Draws what the node tells. All text goes in as text: nothing that a node or a guest is called becomes markup.
"use strict";

// As in the files of 'xtlctl cluster timeline'.
const LEFT = 120, TOP = 40, STEP = 28, ROW = 64, SIZE = 7;

// What a tab keeps, however long it is open.
const MAX_MARKS = 400, MAX_ROWS = 200;

// The daemon says something every 5 s.
const SILENCE = 20000, AGAIN = 3000;

const SVG = "http://www.w3.org/2000/svg";
const byId = id => document.getElementById(id);

let hello = null, now = null, run = null, last = 0, missed = 0;
let marks = [];
let source = null, timer = 0, drawing = false;

function connect() {
  source?.close();
  source = new EventSource(run === null ? "events" : `events?after=${run}-${last}`);
  on("hello", data => {
    // Another run counts its marks anew; what is drawn of the one before stays.
    if (data.run !== run) {
      run = data.run;
      last = 0;
    }
    hello = data;
    show("live", "live");
  });
  on("mark", (data, id) => {
    const number = Number(id.slice(id.indexOf("-") + 1));
    if (number > last) {
      last = number;
      add(data);
    }
  });
  on("gap", data => { missed += data.missed; });
  on("now", data => { now = data; });
  on("beat", () => { });
  source.onerror = () => {
    // A stream that breaks is opened again by the browser; one that is refused is not.
    show("lost", "not connected; trying again");
    if (source.readyState === EventSource.CLOSED) {
      wake(AGAIN);
    }
  };
  wake(SILENCE);
}

function on(kind, take) {
  const of = source;
  of.addEventListener(kind, event => {
    if (of !== source) {
      return;
    }
    take(JSON.parse(event.data), event.lastEventId);
    wake(SILENCE);
    if (!drawing) {
      drawing = true;
      // Not by animation frames, which a tab in the background does not get.
      setTimeout(draw, 50);
    }
  });
}

// Connects anew where nothing is heard until then.
function wake(after) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    show("lost", "not connected; trying again");
    connect();
  }, after);
}

function show(state, text) {
  const place = byId("connection");
  if (place.dataset.state !== state) {
    place.dataset.state = state;
    place.textContent = text;
  }
}

const isCheckpoint = mark => ["start", "basic", "forced", "other"].includes(mark.kind);
const indexed = mark => isCheckpoint(mark) || mark.kind === "heard";

function add(mark) {
  const line = marks.filter(m => m.node === mark.node);
  const standing = line.filter(m => indexed(m) && !m.undone);
  if (mark.kind === "start" && line.length > 0) {
    marks.push({ kind: "failure", node: mark.node, at: mark.at });
    for (const m of standing) {
      m.undone = m.index > mark.index;
    }
  } else if (mark.kind === "forced" && mark.by) {
    mark.cause = marks.findLast(m => m.node === mark.by.node && m.kind === "heard" && m.index === mark.by.index)
      ?? marks.findLast(m => m.node === mark.by.node && m.kind === "heard" && !m.undone);
  } else if (mark.kind === "rollback" || (mark.kind === "heard" && standing.length > 0 && mark.index < standing.at(-1).index)) {
    mark.target = standing.findLast(m => m.index <= mark.index);
    const from = mark.target ? marks.indexOf(mark.target) : -1;
    for (const m of marks.slice(from + 1)) {
      if (m.node === mark.node && indexed(m)) {
        m.undone = true;
      }
    }
  }
  marks.push(mark);
  if (marks.length > MAX_MARKS) {
    missed += marks.length - MAX_MARKS;
    marks = marks.slice(-MAX_MARKS);
  }
}

function words(m) {
  switch (m.kind) {
    case "start": return `the daemon started at checkpoint ${m.index}, incarnation ${m.incarnation}${m.text ? "; it " + m.text : ""}`;
    case "basic": return `basic checkpoint ${m.index}${m.text ? ", " + m.text : ""}`;
    case "forced": return `forced checkpoint ${m.index}${m.by ? `, by a message of ${m.by.node} with index ${m.by.index}` : ""}`;
    case "other": return `checkpoint ${m.index}, taken for a recovery`;
    case "failed": return `a checkpoint failed: ${m.text}`;
    case "failure": return "the daemon ended";
    case "rollback": return `back to checkpoint ${m.index}: recovery, incarnation ${m.incarnation}`;
    case "survive": return `went on at index ${m.index}: recovery, incarnation ${m.incarnation}`;
    case "heard": return `heard index ${m.index}${m.incarnation === undefined ? "" : `, incarnation ${m.incarnation}`}`;
    case "up": return "the link is up";
    case "down": return "the link is down";
    default: return m.kind;
  }
}

const utc = at => new Date(at).toISOString().slice(11, 23);

function draw() {
  drawing = false;
  if (!hello) {
    return;
  }
  byId("self").textContent = hello.node;
  document.title = `${hello.node}: checkpoints`;
  drawPicture();
  drawNodes();
  drawEvents();
  if (now) {
    byId("summary").textContent = `${hello.protocol}, ${hello.nodes.length} node${hello.nodes.length === 1 ? "" : "s"}; `
      + (now.line === undefined ? "recovery line not known: a node was not heard of yet" : `recovery line ${now.line}`)
      + (missed > 0 ? `; ${missed} earlier events are not shown` : "");
    // Set when it changes, so that it is read out once.
    const alert = byId("alert");
    if (alert.hidden === now.awaitsRecovery) {
      alert.hidden = !now.awaitsRecovery;
      alert.textContent = now.awaitsRecovery
        ? "This node awaits a recovery: nothing passes between it and other nodes, and it takes no checkpoints, until 'xtlctl cluster recover'."
        : "";
    }
  }
}

function element(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  parent.append(made);
  return made;
}

function drawPicture() {
  const x = column => LEFT + column * STEP;
  const y = node => TOP + ROW / 2 + hello.nodes.indexOf(node) * ROW;
  const column = new Map(marks.map((mark, i) => [mark, i]));
  const width = x(marks.length) + STEP, bottom = TOP + hello.nodes.length * ROW, height = bottom + 12;
  const scroll = byId("scroll"), svg = byId("picture");
  const follows = scroll.scrollLeft + scroll.clientWidth >= scroll.scrollWidth - STEP;
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const g = document.createElementNS(SVG, "g");
  g.id = "drawing";
  const titled = (name, attributes, mark) => {
    element(element(g, name, attributes), "title", {}, `${mark.node}: ${words(mark)} (${utc(mark.at)})`);
  };

  for (const node of hello.nodes) {
    element(g, "text", { class: node === hello.node ? "own" : "heardof", x: 8, y: y(node) + 4 }, node);
    drawNodeLine(g, node, x, y(node));
  }
  for (const [mark, i] of column) {
    if (i % 10 === 0) {
      element(g, "text", { class: "time", x: x(i) - SIZE, y: TOP / 2 }, utc(mark.at).slice(0, 8));
    }
    if (mark.kind === "survive" || mark.kind === "rollback") {
      element(g, "path", { class: "began", d: `M${x(i)},${TOP} L${x(i)},${bottom}` });
      element(g, "text", { x: x(i) - 10, y: TOP - 6 }, `inc ${mark.incarnation}`);
    }
    if (mark.cause && column.has(mark.cause)) {
      const down = y(mark.cause.node) < y(mark.node);
      titled("path", {
        class: mark.undone ? "message undone" : "message",
        d: `M${x(column.get(mark.cause))},${y(mark.cause.node)} L${x(i)},${y(mark.node) + (down ? -SIZE : SIZE)}`,
      }, mark);
    }
    if (mark.target && column.has(mark.target)) {
      const to = x(column.get(mark.target)), dip = y(mark.node) + ROW / 2;
      titled("path", {
        class: mark.kind === "rollback" ? "rollback" : "heardback",
        d: `M${x(i)},${y(mark.node)} C${x(i)},${dip} ${to},${dip} ${to},${y(mark.node) + SIZE}`,
      }, mark);
    }
  }
  for (const [mark, i] of column) {
    drawMark(g, titled, mark, x(i), y(mark.node));
  }
  drawLine(g, x, y, column);
  byId("drawing").replaceWith(g);
  if (follows) {
    scroll.scrollLeft = scroll.scrollWidth;
  }
}

// Dashed where the link was down.
function drawNodeLine(g, node, x, y) {
  let from = 0, up = node === hello.node || !marks.some(m => m.node === node && m.kind === "up")
    || marks.find(m => m.node === node && (m.kind === "up" || m.kind === "down")).kind === "down";
  marks.forEach((mark, i) => {
    if (mark.node === node && (mark.kind === "up" || mark.kind === "down")) {
      element(g, "line", { class: up ? "node" : "lost", x1: x(from), y1: y, x2: x(i), y2: y });
      from = i;
      up = mark.kind === "up";
    }
  });
  element(g, "line", { class: up ? "node" : "lost", x1: x(from), y1: y, x2: x(marks.length), y2: y });
}

function drawMark(g, titled, mark, x, y) {
  const undone = mark.undone ? " undone" : "";
  switch (mark.kind) {
    case "heard": {
      const peer = now?.peers.find(p => p.name === mark.node);
      const durable = !mark.undone && peer && mark.index <= peer.durable ? " durable" : "";
      titled("circle", { class: `heard${durable}${undone}`, cx: x, cy: y, r: SIZE - 1 }, mark);
      break;
    }
    case "failure":
      titled("path", { class: "failure", d: `M${x - SIZE},${y - SIZE} L${x + SIZE},${y + SIZE} M${x - SIZE},${y + SIZE} L${x + SIZE},${y - SIZE}` }, mark);
      return;
    case "start": case "basic": case "forced": case "other": case "failed":
      titled("rect", {
        class: (mark.kind === "start" ? "initial" : mark.kind) + undone, x: x - SIZE, y: y - SIZE, width: 2 * SIZE, height: 2 * SIZE,
      }, mark);
      break;
    default:
      return;
  }
  if (mark.kind !== "failed") {
    element(g, "text", { class: undone.trim(), x: x - 4, y: y - SIZE - 4 }, mark.index);
  }
}

// From the first node to the last one through the first checkpoint of each with at least the line's index: of the others, through
// the first circle that says that there is one.
function drawLine(g, x, y, column) {
  if (now?.line === undefined) {
    return;
  }
  const points = [];
  for (const node of hello.nodes) {
    const member = marks.find(m => m.node === node && indexed(m) && !m.undone && m.index >= now.line);
    if (member) {
      points.push([x(column.get(member)) + SIZE + 3, y(node)]);
    }
  }
  if (points.length > 0) {
    const first = points[0], end = points.at(-1);
    const path = element(g, "path", {
      class: "line",
      d: `M${first[0]},${first[1] - ROW / 2} L${points.map(p => p.join(",")).join(" L")} L${end[0]},${end[1] + ROW / 2}`,
    });
    element(path, "title", {}, `recovery line ${now.line}`);
  }
}

function drawNodes() {
  if (!now) {
    return;
  }
  const text = value => value === undefined ? "-" : String(value);
  const rows = hello.nodes.map(name => {
    const peer = now.peers.find(p => p.name === name);
    return name === hello.node || !peer
      ? [name, "known", now.awaitsRecovery ? `${now.state}, awaits a recovery` : now.state, text(now.index), text(now.durable), text(now.incarnation), "this node"]
      : [name, peer.heard === undefined ? "not heard of" : "heard", (peer.connected ? "link up" : "link down") + (peer.problem ? `: ${peer.problem}` : ""),
        ...(peer.heard === undefined ? ["-", "-", "-", "never"] : [text(peer.index), text(peer.durable), text(peer.incarnation), utc(peer.heard * 1000).slice(0, 8)])];
  });
  fill("nodes", rows, true);
}

function drawEvents() {
  fill("events", marks.slice(-MAX_ROWS).reverse().map(m => [utc(m.at), m.node, words(m) + (m.undone ? " (undone)" : ""), m.undone]), false);
}

function fill(table, rows, headed) {
  const body = document.createElement("tbody");
  for (const cells of rows) {
    const row = document.createElement("tr");
    cells.forEach((cell, i) => {
      if (cell === true) {
        row.className = "gone";
      } else if (typeof cell === "string") {
        const made = document.createElement(headed && i === 0 ? "th" : "td");
        if (headed && i === 0) {
          made.scope = "row";
        }
        made.textContent = cell;
        row.append(made);
      }
    });
    body.append(row);
  }
  byId(table).tBodies[0].replaceWith(body);
}

connect();
