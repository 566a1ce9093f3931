"""Plans that must be refused, each with the one line that says why.

`text` is the whole document, or the body of the only TODO when it begins with four spaces.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = "atlas: 1\ntodos:\n  - id: a\n"


class Case(NamedTuple):
    """A document, and the line that it is refused with (after the file's name)."""

    name: str
    text: str
    line: str

    @property
    def document(self) -> str:
        return HEAD + self.text if self.text.startswith("    ") else self.text


def todo(name: str, body: str, line: str) -> Case:
    return Case(name, body, line)


QUOTE = "; put it in quotes"
SHAPES = [
    Case("empty", "", "1:1: the document is empty; it must consist of keys and values"),
    Case("only comments", "# a\n# b\n", "1:1: the document is empty; it must consist of keys and values"),
    Case("a null", "~\n", "1:1: the document is empty; it must consist of keys and values"),
    Case("a list at top", "- atlas: 1\n", "1:1: the document is a list; it must consist of keys and values"),
    Case("bare text", "hello\n", "1:1: the document is a bare value; it must consist of keys and values"),
    Case("json list", "[1]", "1:1: the document is a list; it must consist of keys and values"),
    Case("duplicate key", "atlas: 1\ngoal: x\ngoal: y\n", "3:1: goal: this key is given twice, first in line 2"),
    Case(
        "duplicate json key",
        '{"atlas": 1,\n "goal": "x",\n\t"goal": "y"}',
        "3:2: goal: this key is given twice, first in line 2",
    ),
    todo(
        "duplicate todo key", "    run: x\n    run: y\n", "5:5: todos[0].run: this key is given twice, first in line 4"
    ),
    Case(
        "two documents",
        "atlas: 1\n---\natlas: 1\n",
        "2:1: a second document begins here; one file holds one document",
    ),
    Case(
        "python tag",
        "atlas: 1\ngoal: !!python/object/apply:os.system [ls]\n",
        '2:7: goal: the tag "tag:yaml.org,2002:python/object/apply:os.system" is not allowed; write the plain value',
    ),
    Case(
        "str tag",
        "atlas: 1\ngoal: !!str 5\n",
        '2:7: goal: the tag "tag:yaml.org,2002:str" is not allowed; write the plain value',
    ),
    Case("local tag", "atlas: 1\ngoal: !x 5\n", '2:7: goal: the tag "!x" is not allowed; write the plain value'),
    Case(
        "merge key",
        "atlas: 1\nx: &x {goal: y}\n<<: *x\n",
        "3:1: merge keys (<<) are not part of YAML 1.2; write the keys out",
    ),
    Case("unknown alias", "atlas: 1\ngoal: *x\n", "2:7: goal: no anchor &x before this alias"),
    Case("recursive alias", "atlas: 1\ntodos: &x [*x]\n", "2:12: todos[0]: the alias *x stands inside what it names"),
    Case("number as key", "atlas: 1\n5: x\n", '2:1: a key must be text: write "5"'),
    Case("null as key", "atlas: 1\n~: x\n", '2:1: a key must be text: write "null"'),
    Case("list as key", "atlas: 1\n? [a]\n: x\n", "2:3: a key must be text, not a list or a mapping"),
    Case("tab for indentation", "atlas: 1\ntodos:\n\t- id: a\n", "3:1: not YAML: a tab stands where YAML wants spaces"),
    Case(
        "unclosed",
        "atlas: 1\ntodos: [\n",
        "3:1: not YAML: did not find expected node content while parsing a flow node",
    ),
    Case("nul", "atlas: 1\ngoal: a\0b\n", "2:8: a NUL character (U+0000) is not allowed"),
    Case("escaped nul", 'atlas: 1\ngoal: "a\\0b"\n', "2:7: goal: the text contains a NUL character (\\0)"),
    Case("json nul", '{"goal": "\\u0000"}', "1:10: goal: the text contains a NUL character (\\0)"),
    Case("escape character", "atlas: 1\ngoal: \x1b[31m\n", "2:7: the control character U+001B is not allowed"),
    Case("half surrogate", "atlas: 1\ngoal: \ud800\n", "2:7: the control character U+D800 is not allowed"),
    Case(
        "json half surrogate",
        '{"goal": "\\ud800"}',
        "1:10: goal: half of a surrogate pair (\\ud800 to \\udfff) is not a character",
    ),
    Case("huge int", "atlas: 1\nconcurrency: " + "9" * 5000 + "\n", "2:14: concurrency: a number of 5000 digits"),
    Case("json huge int", '{"atlas": ' + "9" * 5000 + "}", "1:11: atlas: a number of 5000 digits"),
]

PLANS = [
    Case("unknown key", "atlas: 1\ngoal: x\nconcurency: 2\n", '3:1: concurency: unknown key; did you mean "concurrency"?'),
    Case("no version", "goal: x\n", "1:1: atlas: this key is required"),
    Case("another version", "atlas: 2\ngoal: x\n", "1:1: atlas: must be 1, not the number 2"),
    Case("version as text", 'atlas: "1"\ngoal: x\n', '1:1: atlas: must be 1, not the text "1"'),
    Case("version as float", "atlas: 1.0\ngoal: x\n", "1:1: atlas: must be 1, not the number 1.0"),
    Case("nothing to do", "atlas: 1\n", "1:1: the plan has neither todos nor a goal"),
    Case("no todos", "atlas: 1\ntodos: []\n", "1:1: the plan has neither todos nor a goal"),
    Case("todos empty", "atlas: 1\ntodos:\n", "2:7: todos: has no value: give it one, or remove the key"),
    Case("todos a mapping", "atlas: 1\ntodos: {a: b}\n", "2:1: todos: must be a list, not keys and values"),
    Case("todo a text", "atlas: 1\ntodos: [a]\n", '2:9: todos[0]: must be keys and values, not the text "a"'),
    Case("name a number", "atlas: 1\nname: 5\ngoal: x\n", f"2:1: name: must be text, not the number 5{QUOTE}"),
    Case("name of two lines", 'atlas: 1\nname: "a\\nb"\ngoal: x\n', "2:1: name: must be one line without control characters"),
    Case("name too long", f"atlas: 1\nname: {'n' * 501}\ngoal: x\n", "2:1: name: may have at most 500 characters"),
    Case("goal a list", "atlas: 1\ngoal: [x]\n", "2:1: goal: must be text, not a list"),
    Case("goal blank", 'atlas: 1\ngoal: " "\n', "2:1: goal: must not be empty"),
    Case("goal too long", f"atlas: 1\ngoal: {'x' * 100_001}\n", "2:1: goal: may have at most 100,000 characters"),
    Case("repo a number", "atlas: 1\ngoal: x\nrepo: 1\n", f"3:1: repo: must be text, not the number 1{QUOTE}"),
    Case("base a bool", "atlas: 1\ngoal: x\nbase: true\n", f"3:1: base: must be text, not the value true{QUOTE}"),
    Case("budget a number", "atlas: 1\ngoal: x\nbudget: 5\n", "3:1: budget: must be keys and values, not the number 5"),
    Case("budget key", "atlas: 1\ngoal: x\nbudget: {token: 5}\n", '3:10: budget.token: unknown key; did you mean "tokens"?'),
    Case("tokens zero", "atlas: 1\ngoal: x\nbudget: {tokens: 0}\n", "3:10: budget.tokens: must be at least 1, not the number 0"),
    Case("tokens a bool", "atlas: 1\ngoal: x\nbudget: {tokens: true}\n", "3:10: budget.tokens: must be a whole number, not the value true"),
    Case("usd nan", "atlas: 1\ngoal: x\nbudget: {usd: .nan}\n", "3:10: budget.usd: must be a finite number"),
    Case("usd inf", "atlas: 1\ngoal: x\nbudget: {usd: .inf}\n", "3:10: budget.usd: must be a finite number"),
    Case("json nan", '{"atlas": 1, "goal": "x", "budget": {"usd": NaN}}', "1:38: budget.usd: must be a finite number"),
    Case("wall clock", "atlas: 1\ngoal: x\nbudget: {wall_clock: 2 hours}\n", '3:10: budget.wall_clock: must be a duration such as 90s, 30m or 1h30m, not the text "2 hours"'),
    Case("concurrency zero", "atlas: 1\ngoal: x\nconcurrency: 0\n", "3:1: concurrency: must be at least 1, not the number 0"),
    Case("concurrency huge", "atlas: 1\ngoal: x\nconcurrency: 1001\n", "3:1: concurrency: must be at most 1000, not the number 1001"),
    Case("concurrency of 30 digits", f"atlas: 1\ngoal: x\nconcurrency: {10**30}\n", f"3:1: concurrency: must be at most 1000, not the number {10**30}"),
    Case("concurrency a float", "atlas: 1\ngoal: x\nconcurrency: 1.0\n", "3:1: concurrency: must be a whole number, not the number 1.0"),
    Case("sandbox", "atlas: 1\ngoal: x\nsandbox: dokcer\n", '3:1: sandbox: must be one of auto, docker, host, not "dokcer"; did you mean "docker"?'),
    Case("sandbox false", "atlas: 1\ngoal: x\nsandbox: false\n", "3:1: sandbox: must be one of auto, docker, host, not the value false"),
    Case("defaults key", "atlas: 1\ngoal: x\ndefaults: {imgae: y}\n", '3:12: defaults.imgae: unknown key; did you mean "image"?'),
    Case("retries key", "atlas: 1\ngoal: x\ndefaults: {retries: {mx: 1}}\n", '3:22: defaults.retries.mx: unknown key; did you mean "max"?'),
    Case("retries a number", "atlas: 1\ngoal: x\ndefaults: {retries: 3}\n", "3:12: defaults.retries: must be keys and values, not the number 3"),
    Case("too many retries", "atlas: 1\ngoal: x\ndefaults: {retries: {max: 21}}\n", "3:22: defaults.retries.max: must be at most 20, not the number 21"),
    Case("models a text", "atlas: 1\ngoal: x\nmodels: {default: a/b}\n", '3:10: models.default: must be a list, not the text "a/b"'),
    Case("model without provider", "atlas: 1\ngoal: x\nmodels: {default: [opus]}\n", '3:20: models.default[0]: "opus" is not a model; write provider/name'),
]  # fmt: skip

TODOS = [
    todo("no kind", "    title: x\n", "3:5: todos[0]: a TODO has exactly one of run, role, ask and push; it has none of them"),
    todo("two kinds", "    run: x\n    ask: y\n", "3:5: todos[0]: a TODO has exactly one of run, role, ask and push; it has run and ask"),
    Case("no id", "atlas: 1\ntodos:\n  - run: x\n", "3:5: todos[0].id: this key is required"),
    Case("id a number", "atlas: 1\ntodos:\n  - id: 5\n    run: x\n", f"3:5: todos[0].id: must be text, not the number 5{QUOTE}"),
    Case("id a bool", "atlas: 1\ntodos:\n  - id: true\n    run: x\n", f"3:5: todos[0].id: must be text, not the value true{QUOTE}"),
    Case("id with a slash", "atlas: 1\ntodos:\n  - id: a/b\n    run: x\n", "3:5: todos[0].id: \"a/b\" is not an id; use letters, digits, '.', '_' and '-'"),
    Case("id with a newline", 'atlas: 1\ntodos:\n  - id: "a\\n"\n    run: x\n', "3:5: todos[0].id: \"a\\n\" is not an id; use letters, digits, '.', '_' and '-'"),
    Case("id too long", f"atlas: 1\ntodos:\n  - id: {'a' * 101}\n    run: x\n", "3:5: todos[0].id: an id may have at most 100 characters"),
    Case("duplicate id", HEAD + "    run: x\n  - {id: a, run: y}\n", '5:6: todos[1].id: the id "a" is already that of todos[0]'),
    todo("unknown key", "    rum: x\n    ask: y\n", '4:5: todos[0].rum: unknown key; did you mean "run"?'),
    todo("run a number", "    run: 5\n", "4:5: todos[0].run: must be a command (text, or a list of texts), not the number 5"),
    todo("run blank", '    run: " "\n', "4:5: todos[0].run: the command is empty"),
    todo("run an empty list", "    run: []\n", "4:5: todos[0].run: the command is empty"),
    todo("run of numbers", "    run: [sleep, 5]\n", f"4:5: todos[0].run: item 1 must be text, not the number 5{QUOTE}"),
    todo("run too long", f"    run: {'x' * 100_001}\n", "4:5: todos[0].run: may have at most 100,000 characters and 131,071 bytes"),
    todo("run of too many bytes", f"    run: {'字' * 50_000}\n", "4:5: todos[0].run: may have at most 100,000 characters and 131,071 bytes"),
    todo("run nothing", "    run:\n", "4:9: todos[0].run: has no value: give it one, or remove the key"),
    todo("needs a text", "    run: x\n    needs: b\n", '5:5: todos[0].needs: must be a list, not the text "b"'),
    todo("needs a number", "    run: x\n    needs: [5]\n", f"5:13: todos[0].needs[0]: must be text, not the number 5{QUOTE}"),
    todo("needs two answers", "    run: x\n    needs: [{a: b, c: d}]\n", "5:13: todos[0].needs[0]: must be an id, or one {id: answer}"),
    todo("answer a bool", "    run: x\n    needs: [{a: true}]\n", "5:13: todos[0].needs[0]: the answer must be text, not the value true; put it in quotes"),
    todo("missing need", "    run: x\n    needs: [dat]\n  - {id: data, run: y}\n", '5:13: todos[0].needs[0]: no TODO "dat" in this plan; did you mean "data"?'),
    todo("needed twice", "    run: x\n    needs: [b, b]\n  - {id: b, run: y}\n", '5:16: todos[0].needs[1]: "b" is needed twice'),
    todo("needs itself", "    run: x\n    needs: [a]\n", '5:5: todos[0].needs: "a" needs itself'),
    todo("cycle", "    run: x\n    needs: [b]\n  - {id: b, run: y, needs: [c]}\n  - {id: c, run: z, needs: [a]}\n", "5:5: todos[0].needs: these TODOs need each other: a -> b -> c -> a"),
    todo("answer of a task", "    run: x\n    needs: [{b: yes}]\n  - {id: b, run: y}\n", '5:13: todos[0].needs[0]: "b" gives no answer; only an ask does'),
    todo("answer to free text", "    run: x\n    needs: [{b: yes}]\n  - {id: b, ask: y}\n", '5:13: todos[0].needs[0]: "b" has no choices; give it some, or need it whatever the answer'),
    todo("answer not a choice", "    run: x\n    needs: [{b: psh}]\n  - {id: b, ask: y, choices: [push, hold]}\n", '5:13: todos[0].needs[0]: "psh" is not one of the choices of "b"; did you mean "push"?'),
    todo("inputs a list", "    run: x\n    inputs: [a]\n", "5:5: todos[0].inputs: must be keys and values, not a list"),
    todo("input leaves", "    run: x\n    inputs: {s3://buck/k: ../x}\n", '5:14: todos[0].inputs."s3://buck/k": "../x" leaves the workspace'),
    todo("input leaves deep", "    run: x\n    inputs: {s3://buck/k: a/b/../../../x}\n", '5:14: todos[0].inputs."s3://buck/k": "a/b/../../../x" leaves the workspace'),
    todo("input at home", "    run: x\n    inputs: {s3://buck/k: ~/x}\n", '5:14: todos[0].inputs."s3://buck/k": "~/x": ~ is not expanded; write a path in the workspace'),
    todo("input at the root", "    run: x\n    inputs: {s3://buck/k: /}\n", '5:14: todos[0].inputs."s3://buck/k": "/" must name something inside the workspace'),
    todo("input is the workspace", "    run: x\n    inputs: {s3://buck/k/: ./}\n", '5:14: todos[0].inputs."s3://buck/k/": "./" must name something inside the workspace'),
    todo("input over proc", "    run: x\n    inputs: {s3://buck/k: /proc/1}\n", '5:14: todos[0].inputs."s3://buck/k": "/proc/1" belongs to the kernel'),
    todo("output leaves", "    run: x\n    outputs: {../x: s3://buck/k}\n", '5:15: todos[0].outputs."../x": "../x" leaves the workspace'),
    todo("overlapping inputs", "    run: x\n    inputs: {s3://buck/k: d, s3://buck/l: d/e}\n", '3:5: todos[0]: the internal path "d/e" lies in "d"; give each its own place'),
    todo("output in an input", "    run: x\n    inputs: {s3://buck/k/: d}\n    outputs: {./d/e: s3://buck/l}\n", '3:5: todos[0]: the internal path "d/e" lies in "d"; give each its own place'),
    todo("same place twice", "    run: x\n    inputs: {s3://buck/k: d, s3://buck/l: ./d}\n", '3:5: todos[0]: the internal path "d" is used twice; give each its own place'),
    todo("same output twice", "    run: x\n    outputs: {d: s3://buck/l, d//: s3://buck/m/}\n", '3:5: todos[0]: the internal path "d/" is used twice; give each its own place'),
    todo("same output spelled twice", "    run: x\n    outputs: {d/e: s3://buck/l, d//e: s3://buck/m}\n", "5:5: todos[0].outputs: two of these paths are the same"),
    todo("directory to an object", "    run: x\n    outputs: {out/: s3://buck/l}\n", '5:15: todos[0].outputs."out/": "out/" is a directory; its remote must end with a slash too'),
    todo("two outputs, one remote", "    run: x\n    outputs: {a: s3://buck/l}\n  - id: b\n    run: y\n    outputs: {out/l: s3://buck/}\n", '8:15: todos[1].outputs."out/l": "s3://buck/" is also written by "a"; two outputs can\'t share a location'),
    todo("two outputs, one file", "    run: x\n    outputs: {a: file://o, b: file://./o}\n", '5:28: todos[0].outputs.b: "file://./o" is also written by "a"; two outputs can\'t share a location'),
    todo("secret in lower case", "    run: x\n    secrets: [token]\n", '5:15: todos[0].secrets[0]: "token" is not the name of a secret; use capitals, digits and \'_\''),
    todo("secret twice", "    run: x\n    secrets: [A, A]\n", '5:18: todos[0].secrets[1]: "A" is given twice'),
    todo("secret and variable", "    run: x\n    secrets: [A]\n    env: {A: b}\n", "6:11: todos[0].env.A: this is also the name of a secret of this TODO"),
    todo("env a number", "    run: x\n    env: {PORT: 8080}\n", f"5:11: todos[0].env.PORT: must be text, not the number 8080{QUOTE}"),
    todo("env a bool", "    run: x\n    env: {DEBUG: true}\n", f"5:11: todos[0].env.DEBUG: must be text, not the value true{QUOTE}"),
    todo("env name", "    run: x\n    env: {A-B: c}\n", "5:11: todos[0].env.A-B: \"A-B\" is not the name of a variable; use letters, digits and '_'"),
    todo("env a list", "    run: x\n    env: [A=b]\n", "5:5: todos[0].env: must be keys and values, not a list"),
    todo("cpus zero", "    run: x\n    resources: {cpus: 0}\n", "5:17: todos[0].resources.cpus: must be at least 0.01, not the number 0"),
    todo("cpus yes", "    run: x\n    resources: {cpus: yes}\n", '5:17: todos[0].resources.cpus: must be a number, not the text "yes"'),
    todo("memory unit", "    run: x\n    resources: {memory: 5 gigs}\n", '5:17: todos[0].resources.memory: must be a size such as 512m or 2g, not the text "5 gigs"'),
    todo("memory tiny", "    run: x\n    resources: {memory: 512}\n", "5:17: todos[0].resources.memory: memory must be between 6m and 1024t"),
    todo("pids a float", "    run: x\n    resources: {pids: 1.5}\n", "5:17: todos[0].resources.pids: must be a whole number, not the number 1.5"),
    todo("network no", "    run: x\n    resources: {network: no}\n", '5:17: todos[0].resources.network: must be true or false, not the text "no"'),
    todo("resource key", "    run: x\n    resources: {mem: 1g}\n", '5:17: todos[0].resources.mem: unknown key; did you mean "memory"?'),
    todo("labels a text", "    run: x\n    labels: gpu\n", '5:5: todos[0].labels: must be a list, not the text "gpu"'),
    todo("too many labels", f"    run: x\n    labels: [{', '.join(f'l{n}' for n in range(21))}]\n", "5:5: todos[0].labels: may have at most 20 entries"),
    todo("priority a text", '    run: x\n    priority: "5"\n', '5:5: todos[0].priority: must be a whole number, not the text "5"'),
    todo("priority huge", "    run: x\n    priority: 1001\n", "5:5: todos[0].priority: must be at most 1000, not the number 1001"),
    todo("verify a text", "    run: x\n    verify: pytest\n", '5:5: todos[0].verify: must be a list, not the text "pytest"'),
    todo("verify item a text", "    run: x\n    verify: [pytest]\n", '5:14: todos[0].verify[0]: must be keys and values, not the text "pytest"'),
    todo("verify nothing", "    run: x\n    verify: [{}]\n", "5:14: todos[0].verify[0]: must have exactly one of run, file and review"),
    todo("verify two", "    run: x\n    verify: [{run: x, file: y}]\n", "5:14: todos[0].verify[0]: must have exactly one of run, file and review"),
    todo("verify leaves", "    run: x\n    verify: [{file: ../y}]\n", '5:15: todos[0].verify[0].file: "../y" leaves the workspace'),
    todo("verify a directory", "    run: x\n    verify: [{file: y/}]\n", '5:15: todos[0].verify[0].file: "y/" is a directory; name a file'),
    todo("verify key", "    run: x\n    verify: [{rnu: y}]\n", '5:15: todos[0].verify[0].rnu: unknown key; did you mean "run"?'),
    todo("review alone", "    run: x\n    verify: [{review: oracle}]\n", "5:5: todos[0].verify: a review stands beside a run or file, never alone"),
    todo("review by nobody", "    run: x\n    verify: [{run: x}, {review: oracel}]\n", '5:25: todos[0].verify[1].review: must be one of prometheus, metis, hephaestus, oracle, librarian, not "oracel"; did you mean "oracle"?'),
    todo("choices without ask", "    run: x\n    choices: [a]\n", "5:5: todos[0].choices: this key does not go with run"),
    todo("run keys on an ask", "    ask: x\n    timeout: 5\n", "5:5: todos[0].timeout: this key does not go with ask"),
    todo("secrets on an agent", "    role: oracle\n    prompt: x\n    touches: [a]\n    verify: [{run: x}]\n    secrets: [A]\n", "8:5: todos[0].secrets: this key does not go with role"),
    todo("no choices", "    ask: x\n    choices: []\n", "5:5: todos[0].choices: must have at least 1 entry"),
    todo("choices of numbers", "    ask: x\n    choices: [1]\n", f"5:15: todos[0].choices[0]: must be text, not the number 1{QUOTE}"),
    todo("choices of bools", "    ask: x\n    choices: [true]\n", f"5:15: todos[0].choices[0]: must be text, not the value true{QUOTE}"),
    todo("choice twice", "    ask: x\n    choices: [y, y]\n", '5:18: todos[0].choices[1]: "y" is given twice'),
    todo("choice forging a line", '    ask: x\n    choices: ["a\\eb"]\n', "5:15: todos[0].choices[0]: must be one line without control characters"),
    todo("expires a date", "    ask: x\n    expires: 2030-01-01\n", '5:5: todos[0].expires: must be a duration such as 90s, 30m or 1h30m, not the text "2030-01-01"'),
    todo("expires at once", "    ask: x\n    expires: 0\n", "5:5: todos[0].expires: must be longer than 0 seconds"),
    todo("timeout zero", "    run: x\n    timeout: 0s\n", "5:5: todos[0].timeout: must be longer than 0 seconds"),
    todo("timeout negative", "    run: x\n    timeout: -5\n", "5:5: todos[0].timeout: a duration must be between 0 and 30 days"),
    todo("timeout endless", "    run: x\n    timeout: 31d\n", "5:5: todos[0].timeout: a duration must be between 0 and 30 days"),
    todo("timeout nan", "    run: x\n    timeout: .nan\n", "5:5: todos[0].timeout: a duration must be between 0 and 30 days"),
    todo("timeout a bool", "    run: x\n    timeout: true\n", "5:5: todos[0].timeout: must be a duration such as 90s, 30m or 1h30m, not the value true"),
    todo("timeout a clock", "    run: x\n    timeout: 1:30\n", '5:5: todos[0].timeout: must be a duration such as 90s, 30m or 1h30m, not the text "1:30"'),
    todo("image an option", "    run: x\n    image: --privileged\n", '5:5: todos[0].image: "--privileged" is not an image name such as python:3.12-slim'),
    todo("role unknown", "    role: hefaestus\n", '4:5: todos[0].role: must be one of prometheus, metis, hephaestus, oracle, librarian, not "hefaestus"; did you mean "hephaestus"?'),
    todo("agent without verify", "    role: hephaestus\n    prompt: x\n    touches: [a]\n", "4:5: todos[0].role: an agent TODO needs verify"),
    todo("agent without touches", "    role: hephaestus\n    prompt: x\n    verify: [{run: x}]\n", "4:5: todos[0].role: an agent TODO needs touches"),
    todo("touches leaves", "    role: hephaestus\n    prompt: x\n    verify: [{run: x}]\n    touches: [../a]\n", '7:15: todos[0].touches[0]: "../a" leaves the workspace'),
    todo("touches absolute", "    role: hephaestus\n    prompt: x\n    verify: [{run: x}]\n    touches: [/a]\n", '7:15: todos[0].touches[0]: "/a" must be relative to the repository'),
    todo("push key", "    push: {remot: x}\n", '4:12: todos[0].push.remot: unknown key; did you mean "remote"?|4:5: todos[0].push.remote: this key is required'),
    todo("remote scheme", "    run: x\n    inputs: {http://h/k: d}\n", '5:14: todos[0].inputs."http://h/k": "http://h/k" is not a location; write s3://bucket/key or file://path'),
    todo("remote a path", "    run: x\n    inputs: {/etc/passwd: d}\n", '5:14: todos[0].inputs."/etc/passwd": "/etc/passwd" is not a location; write s3://bucket/key or file://path'),
    todo("remote at home", "    run: x\n    inputs: {file://~/x: d}\n", '5:14: todos[0].inputs."file://~/x": "file://~/x": ~ is not expanded; write the whole path'),
    Case("absolute on the host", "atlas: 1\nsandbox: host\ntodos:\n  - id: a\n    run: x\n    inputs: {s3://buck/k: /d}\n", '6:14: todos[0].inputs."s3://buck/k": "/d" is absolute, which needs a container; with sandbox: host write a relative path'),
    Case("absolute output on the host", "atlas: 1\nsandbox: host\ntodos:\n  - id: a\n    run: x\n    outputs: {/d: s3://buck/k}\n", '6:15: todos[0].outputs."/d": "/d" is absolute, which needs a container; with sandbox: host write a relative path'),
    Case("absolute file on the host", "atlas: 1\nsandbox: host\ntodos:\n  - id: a\n    run: x\n    verify: [{file: /d}]\n", '6:15: todos[0].verify[0].file: "/d" is absolute, which needs a container; with sandbox: host write a relative path'),
]  # fmt: skip

CASES = [*SHAPES, *PLANS, *TODOS]
