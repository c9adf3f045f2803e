// The environment selected in the Python extension, where that extension is installed.

import * as vscode from "vscode";

/** The part of the Python extension's public API that is used. */
interface PythonApi {
  environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(environment: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

async function api(): Promise<PythonApi["environments"] | undefined> {
  const extension = vscode.extensions.getExtension<Partial<PythonApi> | undefined>("ms-python.python");
  if (extension === undefined) return undefined;
  return (await extension.activate())?.environments;
}

/** The Python program of the selected environment. */
export async function selectedPython(output: vscode.LogOutputChannel): Promise<string | undefined> {
  try {
    const environments = await api();
    if (environments === undefined) return undefined;
    const resource = vscode.workspace.workspaceFolders?.[0]?.uri;
    const resolved = await environments.resolveEnvironment(environments.getActiveEnvironmentPath(resource));
    return resolved?.executable.uri?.fsPath;
  } catch (error) {
    output.warn(`the Python extension does not tell its environment: ${String(error)}`);
    return undefined;
  }
}

/** Calls `changed` when another environment is selected. */
export async function watchPython(changed: () => void, subscriptions: vscode.Disposable[]): Promise<void> {
  const environments = await api().catch(() => undefined);
  if (environments !== undefined) subscriptions.push(environments.onDidChangeActiveEnvironmentPath(changed));
}
