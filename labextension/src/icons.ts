/**
 * The icons that Lit Studio draws itself; they take their colours from the theme's classes.
 * It must not know where they are used.
 */
import { LabIcon } from '@jupyterlab/ui-components';

// A loss curve that falls, and at its end the light that gives the studio its name.
const studioSvg = `
<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3 jp-icon-selectable" fill="#616161">
    <path d="M3.1 2.6c.7-.2 1.4.2 1.6.9C6.2 9.4 8 15 13 16.9a1.3 1.3 0 0 1-.9 2.4C5.7 16.9 3.7 10.3 2.2 4.2c-.2-.7.2-1.4.9-1.6z"/>
    <path d="M18 10.5c.5 3.6 1.4 4.5 5 5-3.6.5-4.5 1.4-5 5-.5-3.6-1.4-4.5-5-5 3.6-.5 4.5-1.4 5-5z"/>
    <circle cx="16.5" cy="5.5" r="1.5"/>
  </g>
</svg>`;

const pauseSvg = `
<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <rect x="6" y="5" width="4" height="14" rx="1"/>
    <rect x="14" y="5" width="4" height="14" rx="1"/>
  </g>
</svg>`;

/** The studio's own mark. */
export const studioIcon = new LabIcon({ name: 'lit-studio:studio', svgstr: studioSvg });

/** Two bars: JupyterLab has no icon for a pause. */
export const pauseIcon = new LabIcon({ name: 'lit-studio:pause', svgstr: pauseSvg });
