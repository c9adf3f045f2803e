// Which changes of a document are accepted parts of a suggestion. Knows nothing of VS Code.

/** Suggestions of one answer. id: the server's name for it. from: the offset in the document at which their texts begin. */
export interface Offered {
  uri: string;
  id: unknown;
  from: number;
  texts: readonly string[];
}

/** A change of a document, with the offset in the text before it. */
export interface Change {
  rangeOffset: number;
  text: string;
}

/**
 * VS Code tells an extension when a suggestion is accepted as a whole, but not when a word or a line of it is. Such a part
 * is a change that agrees with the suggestion, after which the cursor moves, though not by the keyboard.
 */
export class AcceptedParts {
  private offered: Offered | undefined;
  private candidate: { uri: string; version: number; id: unknown } | undefined;

  /** There are suggestions; undefined if there are none any more. */
  offers(offered: Offered | undefined): void {
    this.offered = offered;
  }

  /** A document has changed. read: gives the new text between two offsets. */
  changed(uri: string, version: number, changes: readonly Change[], read: (start: number, end: number) => string): void {
    this.candidate = undefined;
    const { offered } = this;
    const [change, another] = changes;
    if (offered === undefined || offered.uri !== uri || change === undefined || another !== undefined) return;
    if (change.text === "" || change.rangeOffset < offered.from) return;
    const now = read(offered.from, change.rangeOffset + change.text.length).replaceAll("\r\n", "\n");
    if (offered.texts.some((text) => text.startsWith(now))) this.candidate = { uri, version, id: offered.id };
  }

  /** The cursor has moved. byUser: by the keyboard or the mouse. Returns the id of the suggestion of which a part was
   *  accepted; undefined if none was. */
  moved(uri: string, version: number, byUser: boolean): unknown {
    const { candidate } = this;
    this.candidate = undefined;
    return !byUser && candidate?.uri === uri && candidate.version === version ? candidate.id : undefined;
  }
}
