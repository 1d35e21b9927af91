/**
 * The view as one file that brings its own style: what the anywidget loads outside of JupyterLab's extension.
 * It must not know how it came here.
 */
import css from '../../style/view.css';
import { Dashboard, DashboardOptions, mountDashboard as mount } from './dashboard';
import type { RunSource } from './source';

const STYLE_ID = 'lit-studio-view-style';

/** Show a run inside `host`, in a document or in a shadow tree. */
export function mountDashboard(host: HTMLElement, source: RunSource, options?: DashboardOptions): Dashboard {
  const tree = host.getRootNode();
  const place = tree instanceof ShadowRoot ? tree : document.head;
  if (!place.querySelector(`#${STYLE_ID}`)) {
    const style = document.createElement('style');
    style.id = STYLE_ID;
    style.textContent = css;
    place.append(style);
  }
  return mount(host, source, options);
}
