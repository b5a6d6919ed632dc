// Starts the development server on free ports. LOCAL names the program (default: local).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export const start = async (...flags) => {
  const server = spawn(process.env.LOCAL ?? 'local', ['-addr', ':0', '-json', ...flags], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(createInterface(server.stdout), 'line');
  return {
    ...JSON.parse(line), // clientUrl, serviceUrl, streamUrl, issuer
    stop: async () => { server.kill(); await once(server, 'exit'); },
  };
};
