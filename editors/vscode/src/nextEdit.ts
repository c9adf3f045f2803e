// A next edit: which one is shown, for which text it counts, and what its picture is. Knows nothing of VS Code.

import { isSame, type Place, type Position } from "./place.ts";

export interface Span {
  start: Position;
  end: Position;
}

/** The edit in the server's answer to `textDocument/copilotInlineEdit`: `range` becomes `text`. */
export interface NextEdit {
  text: string;
  /** The version for which alone it counts. */
  textDocument: { uri: string; version: number };
  range: Span;
  /** What is executed when it has been made. Its title says why it is proposed. */
  command: { title: string; command: string; arguments?: unknown[] };
}

/** The version of an open document; undefined for one that is not open. */
export type VersionOf = (uri: string) => number | undefined;

/**
 * The one edit that is shown.
 *
 * It counts for one version of its document. An answer counts if nothing has been asked or hidden since, if its document
 * is as it was computed for, and if no completion is on the screen.
 */
export class Proposals {
  private edit: NextEdit | undefined;
  private turn = 0;
  private completion: Place | undefined;

  constructor(private readonly versionOf: VersionOf) {}

  /** The edit that is shown, if its document is as it was computed for. */
  get current(): NextEdit | undefined {
    return this.edit !== undefined && this.fits(this.edit) ? this.edit : undefined;
  }

  /** Hides what is shown, and begins to wait for another one: the number to give to `answered`. */
  ask(): number {
    this.clear();
    return this.turn;
  }

  /** Hides what is shown. What was asked for before does not count any more. */
  clear(): void {
    this.turn += 1;
    this.edit = undefined;
  }

  /** Shows the first of the edits, if it counts. cursor: where the user is. */
  answered(turn: number, edits: readonly NextEdit[], cursor: Place | undefined): NextEdit | undefined {
    const [edit] = edits;
    if (turn !== this.turn || edit === undefined || !this.fits(edit) || this.isCompleting(cursor)) return undefined;
    this.edit = edit;
    return edit;
  }

  /** Completions are offered at a place; cursor: where the user is. What is shown hides if they appear there. */
  completing(place: Place, cursor: Place | undefined): void {
    this.completion = place;
    if (this.isCompleting(cursor)) this.clear();
  }

  /** Whether a completion is on the screen: one goes when the text or the cursor's place changes. */
  isCompleting(cursor: Place | undefined): boolean {
    return this.completion !== undefined && cursor !== undefined && isSame(this.completion, cursor);
  }

  /** Whether a completion was offered which is not on the screen any more. It is then forgotten. */
  completionGone(cursor: Place | undefined, dismissed: boolean): boolean {
    if (this.completion === undefined || (!dismissed && this.isCompleting(cursor))) return false;
    this.completion = undefined;
    return true;
  }

  private fits(edit: NextEdit): boolean {
    return this.versionOf(edit.textDocument.uri) === edit.textDocument.version;
  }
}

/** Whether the cursor is where the edit would be made, so that the key makes it and does not go there. */
export function isAt(edit: NextEdit, uri: string, line: number): boolean {
  return uri === edit.textDocument.uri && line >= edit.range.start.line && line <= edit.range.end.line;
}

/** Whether Tab goes to the edit or makes it. In a line without text, unless the edit is there, it indents. */
export function takesTab(edit: NextEdit, uri: string, line: number, lineText: string): boolean {
  return isAt(edit, uri, line) || lineText.trim() !== "";
}

/** The text of a document, by lines without their ends. */
export interface Lines {
  count: number;
  at(line: number): string;
}

/** A row of the box beside the code: at the end of `line`, so many columns behind its text. */
export interface Row {
  line: number;
  gap: number;
  text: string;
}

/** What is drawn where the edit would be made. */
export interface Picture {
  /** What goes. */
  goes?: Span;
  /** What comes, within a line. */
  inline?: { at: Position; text: string };
  /** What comes, as whole lines. */
  rows: Row[];
  /** The line in front of which, or behind which, whole lines come. */
  seam?: { line: number; above: boolean };
}

const MOST_ROWS = 12;
/** A line with more columns than that does not push the box to the right. */
const FARTHEST = 60;
const NARROWEST_GAP = 3;
const NO_BREAK_SPACE = "\u00a0";

/** The picture of an edit in its document. */
export function picture(edit: NextEdit, lines: Lines, tabSize: number): Picture {
  let { start, end } = edit.range;
  let comes = edit.text.split(/\r\n|\r|\n/);
  if (comes.length > 1 && comes.at(-1) === "" && end.character === 0 && end.line > start.line) {
    // Whole lines for whole lines: the last line end stays.
    comes = comes.slice(0, -1);
    end = { line: end.line - 1, character: lines.at(end.line - 1).length };
  }
  const inserts = start.line === end.line && start.character === end.character;
  const goes = inserts ? {} : { goes: { start, end } };
  if (comes.length === 1) {
    const text = shown(comes[0] ?? "", tabSize);
    return { ...goes, ...(text === "" ? {} : { inline: { at: end, text } }), rows: [] };
  }
  let seam: Picture["seam"];
  const first = lines.at(start.line);
  if (inserts && comes[0] === "" && start.character === first.length) {
    comes = comes.slice(1);
    seam = { line: start.line, above: false };
  } else {
    comes[0] = first.slice(0, start.character) + (comes[0] ?? "");
  }
  if (inserts && seam === undefined && start.character === 0 && comes.at(-1) === "") {
    comes = comes.slice(0, -1);
    seam = { line: start.line, above: true };
  } else {
    comes[comes.length - 1] += lines.at(end.line).slice(end.character);
  }
  const rows = box(comes.map((text) => shown(text, tabSize)), start.line, lines, tabSize);
  return { ...goes, rows, ...(seam === undefined ? {} : { seam }) };
}

/** Puts the texts beside the code, one a line, from `first` on, or higher where the document ends before they do. */
function box(texts: readonly string[], first: number, lines: Lines, tabSize: number): Row[] {
  const most = Math.min(MOST_ROWS, lines.count);
  const left = texts.length - most + 1;
  const seen = texts.length <= most ? [...texts] : [...texts.slice(0, most - 1), `… ${left} more lines`];
  const top = Math.max(0, Math.min(first, lines.count - seen.length));
  const widths = seen.map((_, index) => columns(expanded(lines.at(top + index), tabSize)));
  const indent = Math.min(FARTHEST, Math.max(...widths));
  const breadth = Math.max(...seen.map(columns));
  return seen.map((text, index) => ({
    line: top + index,
    gap: Math.max(0, indent - (widths[index] ?? 0)) + NARROWEST_GAP,
    text: text + NO_BREAK_SPACE.repeat(breadth - columns(text)),
  }));
}

/** A text as it can be drawn in one line: white space keeps its width, and what is no character is seen as such. */
function shown(text: string, tabSize: number): string {
  return expanded(text, tabSize)
    .replaceAll(" ", NO_BREAK_SPACE)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

function expanded(text: string, tabSize: number): string {
  let line = "";
  for (const character of text) {
    line += character === "\t" ? " ".repeat(tabSize - (columns(line) % tabSize)) : character;
  }
  return line;
}

/** Columns that a text takes: two for the wide characters of East Asian scripts and for pictures. */
function columns(text: string): number {
  let count = 0;
  for (const character of text) {
    count += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(character)
      ? 2
      : 1;
  }
  return count;
}

/** Where the edit is, for who cannot see it: the line, from 1, and the file's name if it is another one. */
export function whereabouts(edit: NextEdit, front: string | undefined): string {
  const { uri } = edit.textDocument;
  const line = edit.range.start.line + 1;
  if (uri === front) return `line ${line}`;
  const name = uri.slice(uri.lastIndexOf("/") + 1);
  try {
    return `${decodeURIComponent(name)}:${line}`;
  } catch {
    return `${name}:${line}`;
  }
}

/** Why it is proposed, in the server's words. */
export function reason(edit: NextEdit): string {
  return edit.command.title.replace(/^fimble: /, "");
}
