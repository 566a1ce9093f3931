// The TODOs as a graph: what needs nothing is on the left, and everything stands to the right of what it needs.
import {Component, html} from "./html.js";

const WIDTH = 190, HEIGHT = 40, ACROSS = 60, DOWN = 14, EDGE = 20, SHOWN = 22;
const MARKS = {completed: "✓", failed: "✗", blocked: "■", in_progress: "●", verifying: "◐", awaiting_input: "?"};

const needed = (need) => need.split("=")[0];

// [{id, x, y}], [[from, to]]: layers by the longest way from a beginning; within one, near the middle of what is needed.
export function layout(todos) {
  const byKey = new Map(todos.map((todo) => [todo.key, todo]));
  const layer = new Map();
  for (const todo of todos) place(todo);
  function place(first) {
    const stack = [first];
    while (stack.length) {
      const todo = stack.at(-1);
      const needs = todo.needs.map((need) => byKey.get(needed(need))).filter(Boolean);
      const open = needs.find((need) => !layer.has(need.id) && !stack.includes(need));
      if (open) {
        stack.push(open);
        continue;
      }
      layer.set(todo.id, Math.max(-1, ...needs.map((need) => layer.get(need.id) ?? -1)) + 1);
      stack.pop();
    }
  }
  const layers = [];
  for (const todo of todos) (layers[layer.get(todo.id)] ??= []).push(todo);
  const row = new Map();
  for (const each of layers) {
    const middle = (todo) => {
      const rows = todo.needs.map((need) => row.get(byKey.get(needed(need))?.id)).filter((found) => found !== undefined);
      return rows.length ? rows.reduce((a, b) => a + b, 0) / rows.length : 0;
    };
    const wanted = new Map(each.map((todo) => [todo.id, middle(todo)]));
    each.sort((a, b) => wanted.get(a.id) - wanted.get(b.id));
    each.forEach((todo, place) => row.set(todo.id, place));
  }
  const nodes = todos.map((todo) => ({
    id: todo.id, x: EDGE + layer.get(todo.id) * (WIDTH + ACROSS), y: EDGE + row.get(todo.id) * (HEIGHT + DOWN),
  }));
  const edges = todos.flatMap((todo) =>
    todo.needs.map((need) => byKey.get(needed(need))).filter(Boolean).map((need) => [need.id, todo.id]),
  );
  return {nodes, edges};
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
    const at = new Map(nodes.map((node) => [node.id, node]));
    const width = Math.max(0, ...nodes.map((node) => node.x)) + WIDTH + EDGE;
    const height = Math.max(0, ...nodes.map((node) => node.y)) + HEIGHT + EDGE;
    const bend = ([from, to]) => {
      const a = at.get(from), b = at.get(to);
      const x1 = a.x + WIDTH, y1 = a.y + HEIGHT / 2, x2 = b.x, y2 = b.y + HEIGHT / 2, half = (x2 - x1) / 2;
      return `M${x1} ${y1}C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`;
    };
    return html`<div class="graph" tabindex="0" role="region" aria-label="graph of TODOs">
      <svg width=${width} height=${height} role="group" aria-label="TODOs and what they need">
        ${edges.map((edge) => html`<path key=${edge.join()} d=${bend(edge)} />`)}
        ${nodes.map(({id, x, y}) => html`<${Node} key=${id} run=${run} todo=${todos.get(id)} x=${x} y=${y} chosen=${id === chosen} />`)}
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
    const words = todo.state.replaceAll("_", " ");
    return html`<a class=${todo.state} href=${`#/runs/${run}/${encodeURIComponent(todo.id)}`} aria-label=${`${todo.key}: ${words}`} aria-current=${chosen ? "true" : null}>
      <title>${`${todo.key}: ${words}`}</title>
      <rect x=${x} y=${y} width=${WIDTH} height=${HEIGHT} rx="8" />
      <text class="sign" x=${x + 12} y=${y + 25}>${MARKS[todo.state] ?? "○"}</text>
      <text x=${x + 30} y=${y + 25}>${key}</text>
    </a>`;
  }
}
