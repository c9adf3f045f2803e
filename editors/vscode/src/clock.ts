// How long the extension's own code takes to load and to activate. Imported after VS Code's API, which is made at its
// first import, and before everything else.

/** Wall clock and processor time since the call, in ms. Other threads of the extension host count in the latter. */
export function stopwatch(): () => [wall: number, cpu: number] {
  const wall = performance.now();
  const cpu = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return [performance.now() - wall, (user + system) / 1000];
  };
}

export const loading = stopwatch();
