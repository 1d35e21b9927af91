/**
 * Bundles the anywidget's two files: the loader, and the view with plotly.js and its style.
 * It must not know what they do. Runs after tsc and build/plotly.mjs.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { build } from 'esbuild';

const STATIC = '../lit_studio/widgets/static';
const LOADER_LIMIT = 10 * 1024;

const options = {
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  define: { define: 'undefined' },
  loader: { '.css': 'text' },
  legalComments: 'eof',
  logLevel: 'warning'
};

await build({ ...options, entryPoints: ['lib/view/embedded.js'], outfile: `${STATIC}/view.js` });
const view = await readFile(`${STATIC}/view.js`);
const version = createHash('sha256').update(view).digest('hex').slice(0, 12);
const { metafile } = await build({
  ...options,
  define: { ...options.define, __VIEW_VERSION__: JSON.stringify(version) },
  entryPoints: ['lib/widget.js'],
  outfile: `${STATIC}/widget.js`,
  metafile: true
});

// The loader's text is saved into every notebook that saves widget state.
for (const [path, { bytes }] of Object.entries(metafile.outputs)) {
  if (bytes > LOADER_LIMIT) {
    throw new Error(`${path} has ${bytes} bytes, ${LOADER_LIMIT} allowed: something large was pulled into the loader`);
  }
}
