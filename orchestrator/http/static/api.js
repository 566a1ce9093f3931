// The HTTP API, as every client sees it. The session's cookie goes along by itself.

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `status ${status}`);
    this.status = status;
    this.code = document.code || "";
    this.hint = document.hint || "";
  }
}

const UNDONE = "Nothing was done, as far as can be told from here: try again when it is back.";

let loggedOut = () => {};

export function whenLoggedOut(act) {
  loggedOut = act;
}

async function ask(method, path, body, headers) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : {"Content-Type": "application/json", ...headers},
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Problem(0, {code: "away", detail: "the server does not answer", hint: method === "GET" ? "Reload the page when it is back." : UNDONE});
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  if (response.status === 401 && path !== "/api/session") loggedOut();
  throw new Problem(response.status, document);
}

export const get = async (path) => (await ask("GET", path)).json();
export const text = async (path) => (await ask("GET", path)).text();
export const bytes = async (path) => new Uint8Array(await (await ask("GET", path)).arrayBuffer());
export const post = async (path, body = {}, headers = {}) => (await ask("POST", path, body, headers)).json();
export const remove = async (path) => void (await ask("DELETE", path));

const part = encodeURIComponent;
export const ofRun = (run) => `/api/runs/${part(run)}`;
export const ofTodo = (run, todo) => `${ofRun(run)}/todos/${part(todo)}`;

export async function allTodos(run) {
  const found = [];
  for (let after = -1; after !== null; ) {
    const page = await get(`${ofRun(run)}/todos?limit=1000&after=${after}`);
    found.push(...page.todos);
    after = page.next;
  }
  return found;
}
