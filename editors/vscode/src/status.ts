// Words for the state of things: the status bar, its tooltip, and why nothing appeared. Knows nothing of VS Code.

/** One entry of the server's log of requests. Times in ms. */
export interface RequestEntry {
  uri: string;
  source: string;
  /** Who was asked; null if it came from memory or nobody was. */
  asked?: Asked | null;
  empty: boolean;
  /** Whether the document changed, or a newer request came, before there was an answer. */
  stale: boolean;
  reason: string;
  totalMs: number;
  /** The line of the request, from 0, and how long ago it was answered, when the status was. */
  line: number;
  ageSeconds: number;
}

/** The place that was asked, `local` or an endpoint, and what it took. `costText` is empty without a price. */
export interface Asked {
  place: string;
  roundTripMs: number;
  promptTokens: number;
  answerTokens: number;
  costText: string;
}

/** The notification `fimble/state`, and a part of the status. */
export interface Told {
  state: "idle" | "loading" | "measuring" | "reading" | "writing" | "waiting" | "off" | "failed";
  what: "completion" | "action";
  percent: number | null;
  text: string;
  /** The endpoint that the last answer came from, in words; missing for the local model. */
  lastFrom?: string;
}

/** The part of the answer to `fimble/status` that is used here. */
export interface ServerStatus {
  version: string;
  state: Told;
  /** The settings in force, wherever they come from. */
  settings: { enabled: boolean; disabled_languages: string[] };
  model: { state: string; progress: number; message: string; name?: string; device?: string; licence?: string };
  requests: {
    counts: { answered: number; model: number; memory: number; empty: number };
    latencyMs: { median: number | null; p95: number | null };
    recent: RequestEntry[];
  };
}

/** The server as this window knows it. `idle`: no document is open that it could serve. */
export type Server =
  | { kind: "idle" }
  | { kind: "missing"; message: string }
  | { kind: "starting" }
  | { kind: "running"; status?: ServerStatus | undefined }
  | { kind: "stopped"; message: string };

/** The document in front, if it is one that is served. */
export interface Front {
  uri: string;
  /** The language's identifier, and its name as the user knows it. */
  language: string;
  languageName: string;
}

export interface Situation {
  server: Server;
  /** The settings `fimble.enabled` and `fimble.disabledLanguages` in force, and `editor.inlineSuggest.enabled`. */
  enabled: boolean;
  disabledLanguages: readonly string[];
  ghostText: boolean;
  front?: Front | undefined;
}

export interface Bar {
  text: string;
  severity: "none" | "warning" | "error";
}

const LONGEST_NAME = 24;

export function languageIsOff(now: Situation): boolean {
  return now.front !== undefined && now.disabledLanguages.includes(now.front.language);
}

function milliseconds(time: number): string {
  if (time < 1) return "< 1 ms";
  return time < 1000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`;
}

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

function percent(fraction: number): string {
  return `${Math.floor(100 * fraction)}%`;
}

function ago(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

/** What the status bar shows. */
export function bar(now: Situation): Bar {
  const { server } = now;
  if (server.kind === "missing") return { text: "$(warning) fimble: not found", severity: "warning" };
  if (server.kind === "stopped") return { text: "$(error) fimble: stopped", severity: "error" };
  if (!now.enabled) return { text: "$(circle-slash) fimble: off", severity: "none" };
  if (server.kind === "idle") return { text: "$(sparkle) fimble", severity: "none" };
  if (server.kind === "starting" || server.status === undefined) {
    return { text: "$(loading~spin) fimble", severity: "none" };
  }
  const { model, requests } = server.status;
  if (model.state === "failed") return { text: "$(error) fimble: no model", severity: "error" };
  if (model.state === "idle") return { text: "$(sparkle) fimble: at rest", severity: "none" };
  const { state, what, percent: done } = server.status.state;
  if (model.state !== "ready") {
    return { text: `$(loading~spin) fimble: loading ${percent(model.progress)}`, severity: "none" };
  }
  if (languageIsOff(now) && what === "completion") {
    return { text: `$(circle-slash) fimble: off for ${now.front?.languageName ?? ""}`, severity: "none" };
  }
  if (state === "off") return { text: "$(circle-slash) fimble: off", severity: "none" };
  if (state !== "idle" && state !== "failed") {
    return { text: `$(loading~spin) fimble: ${state}${done === null ? "" : ` ${done}%`}`, severity: "none" };
  }
  const name = shortened(model.name ?? "fimble");
  const { median } = requests.latencyMs;
  return { text: `$(sparkle) ${name}${median === null ? "" : ` · ${milliseconds(median)}`}`, severity: "none" };
}

/** One line about the server and its model. */
export function headline(now: Situation): string {
  const { server } = now;
  if (server.kind === "missing" || server.kind === "stopped") return server.message;
  if (server.kind === "idle") return "Starts with the first document that is opened.";
  if (server.kind === "starting" || server.status === undefined) return "The server is starting.";
  const { model, state } = server.status;
  if (state.state !== "idle" && state.state !== "failed" && state.text !== "") {
    return `${state.text.charAt(0).toUpperCase()}${state.text.slice(1)}.`;
  }
  if (model.state === "ready") return `${model.name ?? "The model"} is ready.`;
  if (model.state === "failed") return model.message;
  if (model.state === "idle") return `The model is ${model.message}; it comes back with the next key.`;
  return `The model is loading (${percent(model.progress)}).`;
}

/** The tooltip's rows: a label and its text. */
export function details(now: Situation): [label: string, text: string][] {
  const rows: [string, string][] = [["State", headline(now)]];
  const status = now.server.kind === "running" ? now.server.status : undefined;
  if (status !== undefined) {
    const { model, requests } = status;
    if (model.device) rows.push(["Device", model.device]);
    if (model.licence) rows.push(["Licence", model.licence]);
    const { median, p95 } = requests.latencyMs;
    if (median !== null && p95 !== null) {
      rows.push(["Latency", `${milliseconds(median)} at the median, ${milliseconds(p95)} at the 95th percentile`]);
    }
    if (status.state.lastFrom) rows.push(["Last answer", status.state.lastFrom]);
    const { model: generated, memory, empty } = requests.counts;
    rows.push(["Suggestions", `${generated} from the model, ${memory} from memory; ${empty} times nothing`]);
  }
  if (!now.enabled) rows.push(["Completions", "off"]);
  else if (languageIsOff(now)) rows.push(["Completions", `off for ${now.front?.languageName ?? ""}`]);
  if (status !== undefined) rows.push(["Version", status.version]);
  return rows;
}

/** What the user can do about it, in `why`. */
export type Remedy = "install" | "restart" | "turnOn" | "turnLanguageOn" | "ghostText";

/** Why nothing appeared: the first of the reasons that holds, in a sentence, and what mends it. */
export function why(now: Situation): { message: string; remedy?: Remedy } {
  const { server, front } = now;
  if (server.kind === "missing") return { message: server.message, remedy: "install" };
  if (server.kind === "stopped") return { message: server.message, remedy: "restart" };
  if (front === undefined) return { message: "No file is in front that fimble completes." };
  if (!now.ghostText) {
    return {
      message: "VS Code's own setting editor.inlineSuggest.enabled is off, so no inline suggestion is shown.",
      remedy: "ghostText",
    };
  }
  if (!now.enabled) return { message: "Completions are switched off (fimble.enabled).", remedy: "turnOn" };
  if (languageIsOff(now)) {
    return {
      message: `Completions are switched off for ${front.languageName} (fimble.disabledLanguages).`,
      remedy: "turnLanguageOn",
    };
  }
  if (server.kind !== "running" || server.status === undefined) return { message: "The server is starting." };
  if (server.status.model.state !== "ready" || server.status.state.state === "off") return { message: headline(now) };
  const last = server.status.requests.recent.filter((entry) => entry.uri === front.uri && !entry.stale).at(-1);
  if (last === undefined) {
    return { message: "Nothing has been asked for in this file yet. Type, or run “Trigger Inline Suggestion”." };
  }
  const when = last.ageSeconds < 2 ? "just now" : ago(last.ageSeconds);
  if (last.empty) {
    const where = last.ageSeconds < 2 ? "" : ` on line ${last.line + 1}, ${when}`;
    return { message: `Nothing was suggested${where}: ${last.reason || "the server gave no reason"}.` };
  }
  const how = `${last.source === "memory" ? "from memory" : "by the model"} in ${milliseconds(last.totalMs)}`;
  return {
    message:
      `The last request, ${when}, was answered ${how}. VS Code does not show a suggestion ` +
      "that what you typed has overtaken, or that differs from the selected entry of an open completion list.",
  };
}
