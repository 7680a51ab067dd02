// The tutorial's client against Highwater's FileStorage service, as its users write it: @grpc/grpc-js, with the .proto
// loaded at run time. Prints one line for each step; ends with 0 when all went well, 1 at the first that did not, 2 for
// wrong usage.
//
//     npm ci
//     node client.js 127.0.0.1:7420 [path to file_storage.proto]

'use strict';

const crypto = require('crypto');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const CHUNK_BYTES = 64 * 1024;
// Several chunks, the last one shorter.
const CONTENT_BYTES = 20 * CHUNK_BYTES + 123;
const CALL_TIMEOUT_MS = 60_000;

function connect(address, protoPath) {
  const definition = protoLoader.loadSync(protoPath, { keepCase: true, defaults: true });
  const { FileStorage } = grpc.loadPackageDefinition(definition);
  return new FileStorage(address, grpc.credentials.createInsecure());
}

function options() {
  return { deadline: Date.now() + CALL_TIMEOUT_MS };
}

function expect(condition, problem) {
  if (!condition) throw new Error(problem);
}

// Sends `content` in chunks; `name` goes into the first message unless it is absent.
function upload(client, content, name, metadata) {
  return new Promise((resolve, reject) => {
    const call = client.UploadFile(metadata, options(), (error, answer) => (error ? reject(error) : resolve(answer)));
    let offset = 0;
    const send = () => {
      while (offset < content.length) {
        const message = { fileData: content.subarray(offset, offset + CHUNK_BYTES) };
        if (offset === 0 && name !== undefined) message.fileName = name;
        offset += CHUNK_BYTES;
        if (!call.write(message)) {
          call.once('drain', send);
          return;
        }
      }
      call.end();
    };
    // The answer to the call says why; without a listener the process would end here.
    call.on('error', () => {});
    send();
  });
}

function download(client, fileName) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const call = client.DownloadFile({ fileName }, options());
    call.on('data', (message) => chunks.push(message.fileData));
    call.on('error', reject);
    call.on('end', () => resolve(Buffer.concat(chunks)));
  });
}

function getMetadata(client, fileName) {
  return new Promise((resolve, reject) => {
    client.GetMetadata({ fileName }, options(), (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function code(promise) {
  try {
    await promise;
    return grpc.status.OK;
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return error.code;
  }
}

async function store(client, content, name, metadata) {
  const answer = await upload(client, content, name, metadata);
  expect(typeof answer.message === 'string' && answer.message !== '', 'the answer has no message');
  return answer.message;
}

async function describe(client, fileName) {
  const answer = await getMetadata(client, fileName);
  expect(answer.fileName === fileName, `the name is ${JSON.stringify(answer.fileName)}`);
  expect(!Number.isNaN(Date.parse(answer.uploadTime)), `the time is ${JSON.stringify(answer.uploadTime)}`);
  expect(answer.version !== '', 'the version is empty');
  return `version ${answer.version}, uploaded ${answer.uploadTime}`;
}

async function compare(client, content, fileName) {
  const received = await download(client, fileName);
  expect(received.equals(content), `${received.length} other bytes came instead of ${content.length}`);
  return `${received.length} equal bytes`;
}

async function refuse(expected, promise) {
  const actual = await code(promise);
  expect(actual === expected, `the code is ${grpc.status[actual]}`);
  return grpc.status[actual];
}

function steps(client) {
  const run = crypto.randomBytes(6).toString('hex');
  const first = `node-${run}-message.bin`;
  const second = `node-${run}-metadata.bin`;
  const missing = `node-${run}-missing.bin`;
  const content = crypto.randomBytes(CONTENT_BYTES);
  const other = crypto.randomBytes(CONTENT_BYTES);
  const named = new grpc.Metadata();
  named.set('filename', second);
  const plain = new grpc.Metadata();
  return [
    ['upload with the name in the first message', () => store(client, content, first, plain)],
    ['upload with the name in the call metadata', () => store(client, other, undefined, named)],
    ['metadata of the first', () => describe(client, first)],
    ['metadata of the second', () => describe(client, second)],
    ['download of the first', () => compare(client, content, first)],
    ['download of the second', () => compare(client, other, second)],
    ['metadata of a missing file', () => refuse(grpc.status.NOT_FOUND, getMetadata(client, missing))],
    ['download of a missing file', () => refuse(grpc.status.NOT_FOUND, download(client, missing))],
    ['upload without a name', () => refuse(grpc.status.INVALID_ARGUMENT, upload(client, content, undefined, plain))],
  ];
}

async function main() {
  const [address, protoPath = path.join(__dirname, '../../proto/file_storage.proto')] = process.argv.slice(2);
  if (address === undefined) {
    console.error('usage: node client.js ADDRESS [PROTO], such as 127.0.0.1:7420');
    return 2;
  }
  const client = connect(address.replace(/^http:\/\//, ''), protoPath);
  try {
    for (const [name, step] of steps(client)) {
      try {
        console.log(`ok: ${name}: ${await step()}`);
      } catch (error) {
        console.log(`FAILED: ${name}: ${error.message}`);
        return 1;
      }
    }
    return 0;
  } finally {
    client.close();
  }
}

main().then((exitCode) => {
  process.exitCode = exitCode;
});
