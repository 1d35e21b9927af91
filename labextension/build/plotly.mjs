/**
 * Bundles our cut of plotly.js into lib/view/plotly.js, once for both doors of the view.
 * It must not know the view.
 */
import { build } from 'esbuild';

/** Map libraries that plotly.js names in its core and that a line chart never loads. */
const withoutMaps = {
  name: 'without-maps',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /(^|\/)(maplibre-gl|mapbox-gl)($|\/)/ }, ({ path }) => ({ path, namespace: 'left-out' }));
    onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: 'module.exports = {}' }));
  }
};

await build({
  entryPoints: ['build/lines.mjs'],
  outfile: 'lib/view/plotly.js',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  // Where RequireJS is on the page (nbclassic), a UMD part would hand itself over to it instead of to us.
  define: { define: 'undefined', global: 'globalThis' },
  plugins: [withoutMaps],
  legalComments: 'eof',
  logLevel: 'warning'
});
