// A page in the colours of the editor's theme. Knows nothing of VS Code.

// The page's own names for its colours, which it sets for the root: what the body sets counts for all that is in it.
const STYLE = `
body { --ink: var(--vscode-editor-foreground); --soft: var(--vscode-descriptionForeground);
  --line: var(--vscode-contrastBorder, var(--vscode-editorWidget-border)); --back: var(--vscode-editor-background);
  --card: var(--vscode-editorWidget-background); --one: var(--vscode-charts-blue); --two: var(--vscode-charts-orange);
  font-family: var(--vscode-font-family); }
body.vscode-dark, body.vscode-high-contrast { color-scheme: dark; }
body.vscode-light, body.vscode-high-contrast-light { color-scheme: light; }
`;

/** A page of fimble's with the theme's colours and font in place of its own, and nothing else changed. */
export function themed(page: string): string {
  return page.replace("</style>", () => `${STYLE}</style>`);
}
