// The graph of tasks: a column for each depth, arrows from what is needed to who needs it.

const BOX = { width: 142, height: 40, across: 42, down: 16 };
const SWEEPS = 6;

function graphView(run) {
  const tasks = tasksOf(run);
  if (tasks.length < 2 || tasks.length > 400) return "";
  const { places, ways, width, height } = layout(tasks);
  const red = new Set(tasks.filter((task) => task.node?.red).map((task) => task.name));
  return el("section", {}, el("h3", {}, "Graph"),
    el("div", { class: "graph", tabindex: "0", role: "group", "aria-label": "Graph of the tasks" },
      el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, style: { "min-width": `${Math.round(0.75 * width)}px` } },
        ways.map((way) => ({ way, red: red.has(way.at(-1).name) })).sort((a, b) => a.red - b.red).map((each) => arrow(each.way, each.red)),
        tasks.map((task) => taskBox(run, task, places.get(task.name))))));
}

/** Return where each task is, and the places that each arrow leads through (after Sugiyama, Tagawa and Toda, 1981). */
function layout(tasks) {
  const byName = new Map(tasks.map((task) => [task.name, task]));
  const needsOf = (task) => [...new Set([...(task.needs || []), ...(task.any_of || []).flat()])].filter((need) => byName.has(need));
  const depths = depthsOf(tasks, byName, needsOf);
  const columns = Array.from({ length: 1 + Math.max(...depths.values()) }, () => []);
  const put = (name, column, high) => {
    const place = { name, column, high, x: 1 + column * (BOX.width + BOX.across), y: 0, left: [], right: [] };
    columns[column].push(place);
    return place;
  };
  const places = new Map(tasks.map((task) => [task.name, put(task.name, depths.get(task.name), BOX.height)]));
  // Where arrows pass a column there is room for them: one narrow place for all that come from the same task.
  const bends = new Map();
  const bend = (need, column) => {
    const key = `${column} ${need}`;
    if (!bends.has(key)) bends.set(key, put("", column, 0));
    return bends.get(key);
  };
  const ways = tasks.flatMap((task) => needsOf(task).map((need) => {
    const way = [places.get(need)];
    for (let column = depths.get(need) + 1; column < depths.get(task.name); column++) way.push(bend(need, column));
    return [...way, places.get(task.name)];
  }));
  for (const way of ways) way.slice(1).forEach((to, i) => {
    if (!to.left.includes(way[i])) to.left.push(way[i]), way[i].right.push(to);
  });
  settle(columns);
  return { places, ways, width: 2 + columns.length * (BOX.width + BOX.across) - BOX.across, height: 2 + Math.max(...columns.flat().map((place) => place.y + place.high)) };
}

function depthsOf(tasks, byName, needsOf) {
  const depths = new Map();
  const depth = (name) => {
    if (!depths.has(name)) {
      depths.set(name, 0); // a circle, which no checked crew has, ends here
      depths.set(name, 1 + Math.max(-1, ...needsOf(byName.get(name)).map(depth)));
    }
    return depths.get(name);
  };
  for (const task of tasks) depth(task.name);
  return depths;
}

/** Order each column so that few arrows cross, then place everything near to what it is joined to. */
function settle(columns) {
  const middle = (others, of, otherwise) => (others.length ? others.reduce((sum, other) => sum + of(other), 0) / others.length : otherwise);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "right" : "left";
    const at = new Map(columns.flatMap((column) => column.map((place, i) => [place, (i + 0.5) / column.length])));
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const wish = new Map(column.map((place) => [place, middle(place[side], (other) => at.get(other), at.get(place))]));
      column.sort((a, b) => wish.get(a) - wish.get(b)).forEach((place, i) => at.set(place, (i + 0.5) / column.length));
    }
  }
  const centre = (place) => place.y + place.high / 2;
  for (const column of columns) spread(column, column.map(() => 0));
  for (let sweep = 0; sweep < SWEEPS; sweep++) for (const column of columns) {
    const joined = (place) => (sweep < SWEEPS - 1 ? place[sweep % 2 ? "right" : "left"] : [...place.left, ...place.right]);
    spread(column, column.map((place) => middle(joined(place), centre, centre(place)) - place.high / 2));
  }
  const top = Math.min(...columns.flat().map((place) => place.y));
  for (const place of columns.flat()) place.y += 1 - top;
}

/** Place a column in its order, nothing on anything, as near to the wishes as can be (isotonic regression). */
function spread(column, wishes) {
  const blocks = [];
  let start = 0;
  const starts = column.map((place) => (start += place.high + BOX.down) - place.high - BOX.down);
  wishes.forEach((wish, i) => {
    let block = { mean: wish - starts[i], count: 1 };
    while (blocks.length && blocks.at(-1).mean > block.mean) {
      const { mean, count } = blocks.pop();
      block = { mean: (mean * count + block.mean * block.count) / (count + block.count), count: count + block.count };
    }
    blocks.push(block);
  });
  const offsets = blocks.flatMap(({ mean, count }) => Array(count).fill(mean));
  column.forEach((place, i) => { place.y = starts[i] + offsets[i]; });
}

/** Draw an arrow: straight through the columns that it passes, bent between them. */
function arrow(way, red) {
  let drawn = `M${way[0].x + BOX.width} ${way[0].y + way[0].high / 2}`;
  way.slice(1).forEach((to, i) => {
    const [x1, y1, x2, y2] = [way[i].x + BOX.width, way[i].y + way[i].high / 2, to.x, to.y + to.high / 2];
    const half = (x1 + x2) / 2;
    drawn += `H${x1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}`;
  });
  const { x, y, high } = way.at(-1);
  const [tip, at] = [x, y + high / 2];
  return el("path", { svg: true, class: `arrow${red ? " red" : ""}`, d: `${drawn}M${tip - 6} ${at - 3.5}L${tip} ${at}L${tip - 6} ${at + 3.5}` });
}

function taskBox(run, task, { x, y }) {
  const box = el("g", { svg: true, class: `box ${task.node ? tone(task.node.status) : "mute"}`, transform: `translate(${x} ${y})` },
    el("title", { svg: true }, `${task.name}: ${task.status}${task.why ? `. ${oneLine(task.why, 300)}` : ""}`),
    el("rect", { svg: true, width: BOX.width, height: BOX.height, rx: 7 }),
    el("circle", { svg: true, cx: 14, cy: BOX.height / 2, r: 4 }),
    el("text", { svg: true, x: 26, y: 17 }, oneLine(task.name, 17)),
    el("text", { svg: true, x: 26, y: 31, class: "aside" }, oneLine([task.agent === task.name ? task.kind : task.agent, task.when ? "when …" : "", task.until ? "until …" : ""].filter(Boolean).join(" · "), 21)));
  if (!task.node) return box;
  return el("a", { svg: true, href: hashOf(task.name), "aria-label": `${task.name}, ${task.status}` }, box);
}
