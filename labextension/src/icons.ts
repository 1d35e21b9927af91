/**
 * The icons that Lit Studio draws itself; they take their colours from the theme's classes.
 * It must not know where they are used.
 */
import { LabIcon } from '@jupyterlab/ui-components';

/** A loss curve that falls, and beside it the light that gives the studio its name. */
function mark(curve: string, light: string): string {
  return `
<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="${curve}" fill="#616161" d="M3.4 2.5c.9-.2 1.7.4 1.9 1.3C6.4 11.5 10 16.8 20.6 18.4
    a1.6 1.6 0 0 1-.5 3.2C7.8 19.7 3.3 13.4 2.1 4.3c-.1-.9.5-1.6 1.3-1.8z"/>
  <path class="${light}" fill="#616161" d="M15.5 1.5c.7 4.6 1.9 5.8 6.5 6.5-4.6.7-5.8 1.9-6.5 6.5
    -.7-4.6-1.9-5.8-6.5-6.5 4.6-.7 5.8-1.9 6.5-6.5z"/>
</svg>`;
}

const pauseSvg = `
<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <rect x="6" y="5" width="4" height="14" rx="1"/>
    <rect x="14" y="5" width="4" height="14" rx="1"/>
  </g>
</svg>`;

/** The studio's mark in the colour of the icons around it. */
export const studioIcon = new LabIcon({
  name: 'lit-studio:studio',
  svgstr: mark('jp-icon3 jp-icon-selectable', 'jp-icon3 jp-icon-selectable')
});

/** The studio's mark where icons are large and coloured, as in the launcher. */
export const studioColourIcon = new LabIcon({
  name: 'lit-studio:studio-colour',
  svgstr: mark('jp-icon-brand1 jp-icon-selectable', 'jp-icon-warn0 jp-icon-selectable')
});

/** Two bars: JupyterLab has no icon for a pause. */
export const pauseIcon = new LabIcon({ name: 'lit-studio:pause', svgstr: pauseSvg });
