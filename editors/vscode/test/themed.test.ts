// The page of statistics in the editor's colours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { themed } from "../src/themed.ts";

const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`;
const style = ":root { --ink: #1d2330; }";
const head = `<head>\n${policy}\n<style>${style}</style>\n</head>`;
const page = `<!doctype html>\n<html>\n${head}\n<body>a $& b</style></body></html>`;

test("the page's style is followed by the theme's, and nothing else changes", () => {
  const result = themed(page);
  const [before, after] = page.split("</style>\n</head>") as [string, string];
  assert.ok(result.startsWith(before));
  assert.ok(result.endsWith(`</style>\n</head>${after}`));
  const added = result.slice(before.length, result.indexOf("</style>"));
  for (const name of ["ink", "soft", "line", "back", "card", "one", "two"]) assert.ok(added.includes(`--${name}: var(`));
  assert.ok(result.indexOf("Content-Security-Policy") < result.indexOf("<style>"));
});
