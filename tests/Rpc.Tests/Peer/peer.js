// Calls a node with gRPC's library for Node.js, knowing the .proto files and nothing else.
// usage: peer.js PROTO_DIRECTORY ADDRESS SOCKET
'use strict';

const assert = require('assert');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [protos, address, socket] = process.argv.slice(2);
const contract = grpc.loadPackageDefinition(loader.loadSync(
  'xtlckpt/v1/node_control.proto', { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true })).xtlckpt.v1;

async function callEverything(target, authority) {
  const node = new contract.NodeControl(
    target, grpc.credentials.createInsecure(), authority ? { 'grpc.default_authority': authority } : {});
  const ask = (method, request) => new Promise((resolve, reject) =>
    node[method](request, (error, response) => (error ? reject(error) : resolve(response))));
  // All responses, or as many as are wanted of a stream that never ends.
  const read = (method, request, most) => new Promise((resolve, reject) => {
    const all = [];
    const call = node[method](request);
    call.on('data', (response) => {
      all.push(response);
      if (all.length === most) {
        call.cancel();
      }
    });
    call.on('end', () => resolve(all));
    call.on('error', (error) => (most && error.code === grpc.status.CANCELLED ? resolve(all) : reject(error)));
  });
  const fails = async (code, promise) => {
    const error = await promise.then(() => assert.fail('it succeeded'), (e) => e);
    assert.strictEqual(error.code, code, error.message);
    return error;
  };

  assert.strictEqual((await ask('GetNode', {})).name, 'alpha');
  const guest = (await ask('ListDomains', {})).domains.find((d) => d.id > 0).name;
  assert.strictEqual((await ask('SetDomain', { domain: guest, policy: { include: true } })).policy.include, true);
  assert.ok((await read('Checkpoint', { label: 'größe', memory_only: true })).at(-1).report);
  assert.ok((await ask('ListCheckpoints', {})).checkpoints.length > 0);
  assert.strictEqual((await ask('ShowCheckpoint', { checkpoint: 'latest' })).checkpoint.label, 'größe');
  assert.strictEqual((await read('Verify', {})).at(-1).summary.findings, 0);
  assert.ok((await read('WatchEvents', { after: 0 }, 2)).length >= 2);
  assert.ok((await read('Restore', {
    checkpoint: 'latest', domains: [guest], new_name: `copy-${process.hrtime.bigint()}`,
  })).at(-1).result);
  const missing = await fails(grpc.status.NOT_FOUND, ask('ShowCheckpoint', { checkpoint: 'none' }));
  assert.strictEqual(missing.metadata.get('grpc-status-details-bin').length, 1);
  await fails(grpc.status.INVALID_ARGUMENT, ask('Recover', { line: 1 }));
  await fails(grpc.status.FAILED_PRECONDITION, ask('CollectGarbage', { line: 99 }));
  node.close();
  console.log(`grpc-js ${require('@grpc/grpc-js/package.json').version}, ${authority ?? 'its own authority'}, `
    + `${target.startsWith('unix') ? 'Unix socket' : 'TCP'}: every method of NodeControl`);
}

(async () => {
  await callEverything(address);
  await callEverything(`unix:${socket}`);
  await callEverything(`unix:${socket}`, encodeURIComponent(socket));
  await callEverything(`unix:${socket}`, socket);
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
