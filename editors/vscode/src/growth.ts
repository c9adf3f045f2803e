// Whether to ask again when the server has more of what is on the screen. Knows nothing of VS Code.

import { isSame, type Place, type Position } from "./place.ts";

/** The notification `fimble/suggestionGrew`. */
export interface Grown {
  uri: string;
  version: number;
  position: Position;
}

/**
 * What the user has dismissed, and which request is one of ours.
 *
 * VS Code calls a request that a command makes an explicit one. To the server that means that the user has asked, and it
 * begins anew; a request for the rest has to be an automatic one.
 */
export class Growth {
  private dismissedAt: Place | undefined;
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
