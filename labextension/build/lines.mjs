/**
 * Our cut of plotly.js: the core and line charts, nothing else (no maps, no 3-D, no cloud).
 * It must not know the dashboard. Only this file names plotly.js's inner modules; src/view/plotly.d.ts says what it offers.
 */
import 'plotly.js/build/plotcss';
import fx from 'plotly.js/src/components/fx';
import modebar from 'plotly.js/src/components/modebar';
import selections from 'plotly.js/src/components/selections';
import shapes from 'plotly.js/src/components/shapes';
import english from 'plotly.js/src/locale-en';
import american from 'plotly.js/src/locale-en-us';
import plotApi from 'plotly.js/src/plot_api';
import registry from 'plotly.js/src/registry';
import scatter from 'plotly.js/src/traces/scatter';

// Modes, selections and shapes are never shown, but dragging over a chart asks for their defaults.
// Parts of plotly.js call its public functions by name through its registry.
for (const [name, fn] of Object.entries(plotApi)) {
  registry.register({ moduleType: 'apiMethod', name, fn });
}
registry.register([scatter, fx, modebar, selections, shapes, english, american]);

export const { react, purge, toImage } = plotApi;
