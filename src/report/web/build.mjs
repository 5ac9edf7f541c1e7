// Bundles what `moescope report` carries: node build.mjs FOLDER writes there
//   page.html    the page without its data (marker DATA), script and style inlined and allowed by hash
//   pictures.js  the charts for the embedded engine of --static (Duktape: ECMAScript 5)
import {createHash} from "node:crypto";
import {mkdirSync, readFileSync, writeFileSync} from "node:fs";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {build, transform} from "esbuild";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
  console.error("usage: node build.mjs FOLDER");
  process.exit(2);
}

const read = (...path) => readFileSync(join(here, ...path), "utf8");

const bundle = async (entry, options) => {
  const result = await build({
    entryPoints: [join(here, entry)],
    bundle: true,
    write: false,
    format: "iife",
    charset: "utf8",
    legalComments: "none",
    ...options,
  });
  return result.outputFiles[0].text;
};

// Text of a <script> must not end it.
const inScript = (text) => text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const allowed = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const inHtml = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

const licences = () => {
  const parts = [
    ["Apache ECharts", ["echarts", "LICENSE"]],
    ["Apache ECharts", ["echarts", "NOTICE"]],
    ["Apache ECharts", ["echarts", "licenses", "LICENSE-d3"]],
    ["ZRender", ["zrender", "LICENSE"]],
    ["tslib", ["tslib", "LICENSE.txt"]],
  ];
  return parts
    .map(([name, path]) => `${name}: ${path.at(-1)}\n\n${read("node_modules", ...path).trim()}\n`)
    .join("\n\n");
};

const page = async () => {
  const script = inScript(await bundle("main.js", {minify: true, target: "es2022"}));
  const style = (await transform(read("page.css"), {loader: "css", minify: true})).code;
  const policy =
    `default-src 'none'; script-src ${allowed(script)}; style-src ${allowed(style)}; ` +
    "img-src data: blob:; base-uri 'none'; form-action 'none'";
  const parts = {
    POLICY: policy,
    STYLE: `<style>${style}</style>`,
    SCRIPT: `<script>${script}</script>`,
    LICENCES: inHtml(licences()),
  };
  return read("page.html").replace(
    /<!-- (POLICY|STYLE|SCRIPT|LICENCES) -->|(?<=content=")POLICY(?=")/g,
    (marker) => parts[marker.replace(/<!-- | -->/g, "")],
  );
};

// What the engine lacks of a browser and the libraries ask for.
const STUBS =
  "var window=this,self=this,global=this,globalThis=this,navigator={userAgent:''}," +
  "setTimeout=function(){return 0},clearTimeout=function(){};";

// esbuild bundles, TypeScript makes it ECMAScript 5; esbuild's syntax minifier is more than Duktape parses.
const pictures = async () => {
  const modern = await bundle("pictures.js", {
    target: "es2020",
    define: {"process.env.NODE_ENV": '"production"'},
  });
  const es5 = ts.transpileModule(modern, {compilerOptions: {target: ts.ScriptTarget.ES5}}).outputText;
  return (
    STUBS + (await transform(es5, {minifyWhitespace: true, minifyIdentifiers: true, target: "es5"})).code
  );
};

mkdirSync(out, {recursive: true});
writeFileSync(join(out, "page.html"), await page());
writeFileSync(join(out, "pictures.js"), await pictures());
