// The language client. Loaded when the first server is started, and not before.

import { LanguageClient } from "vscode-languageclient/node";

export { CloseAction, ErrorAction, RevealOutputChannelOn, State } from "vscode-languageclient/node";

/** A language client whose errors go to the output; what the user must know, the session says once. */
export class Client extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}
