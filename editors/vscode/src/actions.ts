// The server's code actions: a list of what it offers here, edit by instruction, and where explanations open.

import * as vscode from "vscode";
import type { CodeAction, CodeActionParams, Command, LanguageClient, Middleware } from "vscode-languageclient/node";
import type { Session } from "./session.ts";

/** The server's command that carries out an action. Its argument is an object that names the action and the place. */
const ACTION = "fimble.action";
const EDIT = "edit";
const INVOKED = 1; // the protocol's code action trigger kind
const TITLE_PREFIX = /^fimble: /;

type Offer = CodeAction | Command;

export function offersActions(client: LanguageClient | undefined): boolean {
  return client?.initializeResult?.capabilities.executeCommandProvider?.commands.includes(ACTION) ?? false;
}

/** A bare command has the command's name where an action has the command. */
function isCommand(offer: Offer): offer is Command {
  return typeof offer.command === "string";
}

function commandOf(offer: Offer): Command | undefined {
  return isCommand(offer) ? offer : offer.command;
}

/** The identifier of the action that an offer carries out, such as `explain`. */
function actionOf(offer: Offer): string | undefined {
  const first: unknown = commandOf(offer)?.arguments?.[0];
  return typeof first === "object" && first !== null && "action" in first ? String(first.action) : undefined;
}

function say(message: string): void {
  void vscode.window.showInformationMessage(`fimble: ${message}`);
}

/** The server and the editor in front. Undefined, with a message shown, if there is nobody to ask, or about nothing. */
function participants(session: Session): { client: LanguageClient; editor: vscode.TextEditor } | undefined {
  const client = session.running;
  const editor = vscode.window.activeTextEditor;
  if (client === undefined) say("the server is not running.");
  else if (editor === undefined) say("no editor is in front.");
  else if (!offersActions(client)) say("this version of the server has no code actions.");
  else return { client, editor };
  return undefined;
}

/** What the server offers for the selection. */
async function offers(client: LanguageClient, editor: vscode.TextEditor): Promise<Offer[]> {
  const { document, selection } = editor;
  const around = vscode.languages.getDiagnostics(document.uri).filter((each) => each.range.intersection(selection));
  const params: CodeActionParams = {
    textDocument: client.code2ProtocolConverter.asTextDocumentIdentifier(document),
    range: client.code2ProtocolConverter.asRange(selection),
    context: {
      diagnostics: await client.code2ProtocolConverter.asDiagnostics(around),
      triggerKind: INVOKED,
    },
  };
  const found = await client.sendRequest<Offer[] | null>("textDocument/codeAction", params);
  return (found ?? []).filter((offer) => isCommand(offer) || offer.disabled === undefined);
}

/** Does what VS Code does with an action from its own menu: the edit, then the command. */
async function run(client: LanguageClient, offer: Offer): Promise<void> {
  let command = commandOf(offer);
  if (!isCommand(offer)) {
    const whole = offer.edit !== undefined || command !== undefined;
    const action = whole ? offer : await client.sendRequest<CodeAction>("codeAction/resolve", offer);
    if (action.edit !== undefined) {
      await vscode.workspace.applyEdit(await client.protocol2CodeConverter.asWorkspaceEdit(action.edit));
    }
    command = action.command;
  }
  if (command !== undefined) await vscode.commands.executeCommand(command.command, ...(command.arguments ?? []));
}

/** Lists what the server offers for the selection, and runs what is chosen. */
export async function chooseAction(session: Session): Promise<void> {
  const found = participants(session);
  if (found === undefined) return;
  const items = (await offers(found.client, found.editor)).map((offer) => ({
    label: offer.title.replace(TITLE_PREFIX, "").replaceAll("`", ""),
    offer,
  }));
  if (items.length === 0) {
    say("there is no action for this place.");
    return;
  }
  const choice = await vscode.window.showQuickPick(items, { title: "fimble: Code Actions" });
  if (choice !== undefined) await run(found.client, choice.offer);
}

/** Runs the action with this identifier, if the server offers it for the selection. */
export async function runAction(session: Session, action: string): Promise<void> {
  const found = participants(session);
  if (found === undefined) return;
  const offer = (await offers(found.client, found.editor)).find((each) => actionOf(each) === action);
  if (offer === undefined) say(`the action “${action}” is not for this place.`);
  else await run(found.client, offer);
}

/** Asks for an instruction, and has the server edit the selection, or what the cursor is in, by it. */
export async function editByInstruction(session: Session): Promise<void> {
  const found = participants(session);
  if (found === undefined) return;
  const { document, selection } = found.editor;
  const version = document.version;
  const instruction = await vscode.window.showInputBox({
    title: "fimble: Edit by Instruction",
    prompt: selection.isEmpty ? "What should change in the code around the cursor?" : "What should change here?",
    placeHolder: "make this async",
  });
  if (!instruction?.trim()) return;
  await vscode.commands.executeCommand(ACTION, {
    action: EDIT,
    uri: found.client.code2ProtocolConverter.asUri(document.uri),
    range: found.client.code2ProtocolConverter.asRange(selection),
    version,
    instruction: instruction.trim(),
  });
}

/** Opens Markdown documents, which are the server's explanations, as a preview beside the code. */
export const explanationsAsPreview: Middleware = {
  window: {
    showDocument: async (params, token, next) => {
      const uri = vscode.Uri.parse(params.uri);
      if (params.external !== true && uri.path.toLowerCase().endsWith(".md")) {
        const editor = vscode.window.activeTextEditor;
        try {
          await vscode.commands.executeCommand("markdown.showPreviewToSide", uri);
          if (editor !== undefined && params.takeFocus !== true) {
            const viewColumn = editor.viewColumn ?? vscode.ViewColumn.Active;
            await vscode.window.showTextDocument(editor.document, { viewColumn });
          }
          return { success: true };
        } catch {
          // The built-in Markdown extension is switched off: the text itself, then.
        }
      }
      return next(params, token);
    },
  },
};
