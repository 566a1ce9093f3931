// What components are written with: preact, its hooks, and htm's templates.
import {h, render, Component, Fragment} from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export {h, render, Component, Fragment};
export {useState, useEffect, useRef, useMemo, useCallback} from "./vendor/preact-hooks.js";
export const html = htm.bind(h);
