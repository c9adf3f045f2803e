// Bundles the extension into dist/: extension.js, which VS Code loads at its start, and client.js, which is loaded
// when a server is started. With --development: readable, with source maps.

import { build } from "esbuild";

const development = process.argv.includes("--development");

await build({
  entryPoints: ["src/extension.ts", "src/client.ts"],
  outdir: "dist",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode", "./client.js"],
  // `import()` becomes `require()`, which knows where `vscode` is.
  supported: { "dynamic-import": false },
  minify: !development,
  sourcemap: development,
  logLevel: "warning",
});
