// Whether the descriptions of the API are what their standards ask for. That they are true is held
// against a running gateway by tests/end_to_end/descriptions/.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { Parser } from "@asyncapi/parser";
import spectralCore from "@stoplight/spectral-core";
import spectralParsers from "@stoplight/spectral-parsers";
import spectralRulesets from "@stoplight/spectral-rulesets";

/** Rules of Spectral that ask for what would only repeat the summary, and for a success that is 101. */
const LEFT_OUT = { "info-contact": "off", "operation-description": "off", "operation-success-response": "off" };

/** From 0, error, to 3, hint. Hints are matters of taste. */
const TASTE = 3;

function pathOf(name) {
  return fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));
}

async function problemsOfAsyncApi(name) {
  const source = pathOf(name);
  const { document, diagnostics } = await new Parser().parse(await readFile(source, "utf8"), { source });
  if (document === undefined && diagnostics.length === 0) throw new Error(`${name} was not read`);
  return diagnostics;
}

async function problemsOfOpenApi(name) {
  const source = pathOf(name);
  const text = await readFile(source, "utf8");
  const spectral = new spectralCore.Spectral();
  spectral.setRuleset({ extends: [[spectralRulesets.oas, "recommended"]], rules: LEFT_OUT });
  return spectral.run(new spectralCore.Document(text, spectralParsers.Yaml, source));
}

let found = 0;
for (const [name, read] of [
  ["asyncapi.yaml", problemsOfAsyncApi],
  ["openapi.yaml", problemsOfOpenApi],
]) {
  for (const { severity, message, path, range } of await read(name)) {
    if (severity >= TASTE) continue;
    found += 1;
    console.error(`docs/${name}:${range.start.line + 1}: ${message} (${path.join(".")})`);
  }
}
if (found > 0) {
  console.error(`${found} problems in the descriptions of the API`);
  process.exitCode = 1;
}
