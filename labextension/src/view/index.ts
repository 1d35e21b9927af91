/**
 * The view's face: what its two doors may use.
 * It must not hold anything of its own.
 */
export { mountDashboard } from './dashboard';
export type { Dashboard, DashboardOptions } from './dashboard';
export type { PacketHeader } from './packet';
export type { Axis, CommandName, Machine, PacketQuery, RunSource, RunStatus } from './source';
