// Whether to ask again: when the server has more of what is on the screen, and when it was not there to be asked. Knows
// nothing of VS Code.

import { isSame, type Place, type Position } from "./place.ts";

/** The notification `fimble/suggestionGrew`. */
export interface Grown {
  uri: string;
  version: number;
  position: Position;
}

/**
 * What the user has dismissed, what nobody has answered, and which request is one of ours.
 *
 * VS Code calls a request that a command makes an explicit one. To the server that means that the user has asked, and it
 * begins anew; a request for the rest has to be an automatic one.
 */
export class Growth {
  private dismissedAt: Place | undefined;
  private missedIn: { uri: string; version: number } | undefined;
  private asking = 0;

  /** The user does not want what is shown at this place. */
  dismissed(place: Place | undefined): void {
    this.dismissedAt = place;
  }

  /** Whether what has grown is for the place that the user sees, and wanted. */
  wanted(grown: Grown, now: Place | undefined): boolean {
    const there: Place = { uri: grown.uri, version: grown.version, ...grown.position };
    return now !== undefined && isSame(there, now) && !(this.dismissedAt !== undefined && isSame(there, this.dismissedAt));
  }

  /** The text was changed, and nobody has been asked about it yet. */
  typed(uri: string, version: number): void {
    this.missedIn = { uri, version };
  }

  /** The server has answered at this place. */
  answered({ uri, version }: Place): void {
    if (this.missedIn?.uri === uri && this.missedIn.version === version) this.missedIn = undefined;
  }

  /** There is a server now: whether to ask it at the place that the user sees, since nobody has answered there. */
  isMissing(now: Place | undefined): boolean {
    const missed = this.missedIn;
    this.missedIn = undefined;
    return now !== undefined && missed?.uri === now.uri && missed.version === now.version;
  }

  /** Makes a request, by a command, that counts as an automatic one. */
  async ask(command: () => PromiseLike<unknown>): Promise<void> {
    this.asking += 1;
    try {
      await command();
    } finally {
      this.asking -= 1;
    }
  }

  /** Whether the request that is being made is one of ours. */
  get isAsking(): boolean {
    return this.asking > 0;
  }
}
