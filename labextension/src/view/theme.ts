/**
 * The page's colours and fonts as they are now, and a word when they change.
 * It must not name a theme: it reads the variables of JupyterLab, of VS Code, else what the page itself uses.
 */

export interface Theme {
  dark: boolean;
  /** More contrast than usual was asked for. */
  contrast: boolean;
  /** Text, quieter text, paper and grid, each as CSS writes them. */
  text: string;
  quiet: string;
  paper: string;
  grid: string;
  /** Stretches that were abandoned. */
  branch: string;
  font: string;
  /** Looks of lines; a slot beyond the last begins again with other dashes. */
  lines: string[];
}

/**
 * Told apart with the common kinds of colour-blindness (after Okabe and Ito), each at least 3:1 on its paper.
 * The dash tells the same a second time.
 */
const LINES = {
  light: ['#0067a8', '#c2500a', '#00805e', '#a8508a', '#8a6d00', '#3f84c4', '#5c5c5c'],
  dark: ['#62b5f0', '#f0954f', '#3cc4a0', '#dc92c4', '#d6c24a', '#9cc7f5', '#b8b8b8'],
  /** At least 7:1 on black, and on white. */
  contrastDark: ['#7cc7ff', '#ffb070', '#4be3b8', '#ff9fdc', '#ffe34d', '#c0dcff', '#ffffff'],
  contrastLight: ['#00497a', '#8a3300', '#005a41', '#7a2a66', '#5c4800', '#1f5a92', '#333333']
};

const DASHES = ['solid', '6px,3px', '2px,3px', '9px,3px,2px,3px', '12px,4px', '4px,2px,1px,2px', '1px,2px'];

/** The colour of the line in `slot`. */
export function colourOf(theme: Theme, slot: number): string {
  return theme.lines[slot % theme.lines.length];
}

/** The dash of the line in `slot`, as both SVG and plotly.js read it. */
export function dashOf(slot: number): string {
  const round = Math.floor(slot / LINES.light.length);
  return DASHES[(slot + round) % DASHES.length];
}

/** What the page around `node` looks like. */
export function readTheme(node: Element): Theme {
  const style = getComputedStyle(node);
  const read = (...names: string[]): string => {
    for (const name of names) {
      const value = style.getPropertyValue(name).trim();
      if (value) {
        return value;
      }
    }
    return '';
  };
  const dark = isDark(read('--jp-layout-color0'));
  const contrast = isContrast();
  const [usual, strong] = dark ? [LINES.dark, LINES.contrastDark] : [LINES.light, LINES.contrastLight];
  return {
    dark,
    contrast,
    text: read('--jp-ui-font-color1', '--vscode-editor-foreground') || (dark ? '#e0e0e0' : '#262626'),
    quiet: read('--jp-ui-font-color2', '--vscode-descriptionForeground') || (dark ? '#a8a8a8' : '#616161'),
    paper: read('--jp-layout-color0', '--vscode-editor-background') || (dark ? '#111111' : '#ffffff'),
    grid: dark ? 'rgba(255, 255, 255, 0.12)' : 'rgba(0, 0, 0, 0.09)',
    branch: contrast ? (dark ? '#c8c8c8' : '#4a4a4a') : dark ? '#7d7d7d' : '#a3a3a3',
    font: read('--jp-ui-font-family', '--vscode-font-family') || 'system-ui, sans-serif',
    lines: contrast ? strong : usual
  };
}

/** Dark on white, for a picture that leaves the page. */
export function plainTheme(font: string): Theme {
  return {
    dark: false,
    contrast: false,
    text: '#262626',
    quiet: '#616161',
    paper: '#ffffff',
    grid: '#e8e8e8',
    branch: '#a3a3a3',
    font,
    lines: LINES.light
  };
}

function isDark(jupyterPaper: string): boolean {
  const body = document.body;
  const jupyter = body.getAttribute('data-jp-theme-light');
  if (jupyter !== null) {
    return jupyter === 'false';
  }
  const code = body.getAttribute('data-vscode-theme-kind');
  if (code !== null) {
    return code === 'vscode-dark' || code === 'vscode-high-contrast';
  }
  return !jupyterPaper && prefersDark().matches;
}

/** JupyterLab and VS Code say it by the name of the theme, others by what the system asks for. */
function isContrast(): boolean {
  const { jpThemeName = '', vscodeThemeKind = '' } = document.body.dataset;
  return /high.?contrast/i.test(`${jpThemeName} ${vscodeThemeKind}`) || moreContrast().matches;
}

function moreContrast(): MediaQueryList {
  return window.matchMedia('(prefers-contrast: more)');
}

function prefersDark(): MediaQueryList {
  return window.matchMedia('(prefers-color-scheme: dark)');
}

/** Call `changed` whenever the page may look different; the result ends that. */
export function watchTheme(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ['data-jp-theme-light', 'data-jp-theme-name', 'data-vscode-theme-kind', 'class']
  });
  const queries = [prefersDark(), moreContrast()];
  queries.forEach(query => query.addEventListener('change', changed));
  return () => {
    observer.disconnect();
    queries.forEach(query => query.removeEventListener('change', changed));
  };
}
