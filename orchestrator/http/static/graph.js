// The TODOs as a graph: what needs nothing is on the left, and everything stands to the right of what it needs.
import {MARKS, words} from "./bits.js";
import {Component, html} from "./html.js";

const WIDTH = 190, HEIGHT = 40, WAY = 6, ACROSS = 60, DOWN = 14, EDGE = 20, SHOWN = 22;
const MOST = 10_000; // TODOs and ways; with more, edges are straight

const needed = (need) => need.split("=")[0];

// {nodes, edges}. Layers by the longest way from a beginning; within one, near the middle of what is needed. An edge to a
// TODO that is several layers on has a place of its own (a way, as wide as a TODO) in each layer between, so that it never
// runs behind another; edges to the same TODO share it.
export function layout(todos) {
  const byKey = new Map(todos.map((todo) => [todo.key, todo]));
  const needs = new Map(todos.map((todo) => [todo, [...new Set(todo.needs.map((need) => byKey.get(needed(need))))].filter(Boolean)]));
  const layer = new Map();
  for (const todo of todos) place(todo);
  function place(first) {
    const stack = [first];
    while (stack.length) {
      const todo = stack.at(-1);
      const open = needs.get(todo).find((need) => !layer.has(need.id) && !stack.includes(need));
      if (open) {
        stack.push(open);
        continue;
      }
      layer.set(todo.id, Math.max(-1, ...needs.get(todo).map((need) => layer.get(need.id) ?? -1)) + 1);
      stack.pop();
    }
  }
  const nodes = new Map(), edges = [], layers = [];
  const add = (node) => (nodes.set(node.id, node), (layers[node.layer] ??= []).push(node), node);
  const join = (from, to) => (to.from.push(from), edges.push([from, to]));
  for (const todo of todos) add({id: todo.id, layer: layer.get(todo.id), high: HEIGHT, from: []});
  for (const todo of todos) {
    for (const need of needs.get(todo)) {
      const from = nodes.get(need.id);
      let to = nodes.get(todo.id);
      while (to.layer > from.layer + 1 && nodes.size < MOST) {
        const id = `${to.layer - 1} ${todo.id}`;
        const before = nodes.get(id) ?? add({id, layer: to.layer - 1, high: WAY, from: [], way: true});
        if (!to.from.includes(before)) join(before, to);
        to = before;
      }
      if (!to.from.includes(from)) join(from, to);
    }
  }
  for (const each of layers) {
    for (const node of each) node.wanted = node.from.reduce((sum, from) => sum + from.middle, 0) / (node.from.length || 1);
    each.sort((a, b) => a.wanted - b.wanted);
    let y = EDGE;
    for (const node of each) {
      Object.assign(node, {x: EDGE + node.layer * (WIDTH + ACROSS), y, middle: y + node.high / 2});
      y += node.high + DOWN;
    }
  }
  return {nodes: [...nodes.values()], edges};
}

// Through a way, and then to the next layer.
function bend([from, to]) {
  const x1 = from.x + WIDTH, x2 = to.x, half = (x2 - x1) / 2;
  return `M${from.way ? from.x : x1} ${from.middle}H${x1}C${x1 + half} ${from.middle} ${x2 - half} ${to.middle} ${x2} ${to.middle}`;
}

export class Graph extends Component {
  constructor() {
    super();
    this.size = -1;
  }

  render({run, todos, chosen}) {
    const all = [...todos.values()];
    if (all.length !== this.size) {
      this.found = layout(all);
      this.size = all.length;
    }
    const {nodes, edges} = this.found;
    const width = Math.max(0, ...nodes.map((node) => node.x)) + WIDTH + EDGE;
    const height = Math.max(0, ...nodes.map((node) => node.y + node.high)) + EDGE;
    return html`<div class="graph" tabindex="0" role="region" aria-label="graph of TODOs">
      <svg width=${width} height=${height} role="group" aria-label="TODOs and what they need">
        ${edges.map((edge) => html`<path key=${`${edge[0].id} ${edge[1].id}`} d=${bend(edge)} />`)}
        ${nodes.filter((node) => !node.way).map(({id, x, y}) => html`<${Node} key=${id} run=${run} todo=${todos.get(id)} x=${x} y=${y} chosen=${id === chosen} />`)}
      </svg>
    </div>`;
  }
}

class Node extends Component {
  shouldComponentUpdate(next) {
    const now = this.props;
    return next.todo?.state !== now.todo?.state || next.chosen !== now.chosen || next.x !== now.x || next.y !== now.y;
  }

  render({run, todo, x, y, chosen}) {
    if (!todo) return null;
    const key = todo.key.length > SHOWN ? `${todo.key.slice(0, SHOWN - 1)}…` : todo.key;
    return html`<a class=${todo.state} href=${`#/runs/${run}/${encodeURIComponent(todo.id)}`} aria-label=${`${todo.key}: ${words(todo.state)}`} aria-current=${chosen ? "true" : null}>
      <title>${`${todo.key}: ${words(todo.state)}`}</title>
      <rect x=${x} y=${y} width=${WIDTH} height=${HEIGHT} rx="8" />
      <text class="sign" x=${x + 12} y=${y + 25}>${MARKS[todo.state] ?? "•"}</text>
      <text x=${x + 30} y=${y + 25}>${key}</text>
    </a>`;
  }
}
