// The signer of S3: a gRPC server whose SignBatch answers every message with itself, and keeps what came. For tests only.
import { createHash } from 'node:crypto'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'

export const SIGN_BATCH = '/sign.v1.Signer/SignBatch'

const asItIs = (bytes: Buffer): Buffer => bytes
const SERVICE = {
  signBatch: { path: SIGN_BATCH, requestStream: true, responseStream: true, requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs },
} as const

/** One batch as the signer has it; `cancelled` when it was over before its caller had closed its half. */
export class Batch {
  readonly messages: Buffer[] = []
  cancelled = false

  constructor(call: ServerDuplexStream<Buffer, Buffer>) {
    call.on('data', (message: Buffer) => {
      this.messages.push(message)
      call.write(message)
    })
    call.on('end', () => call.end())
    call.on('error', () => undefined)
    call.on('cancelled', () => (this.cancelled = true))
  }

  get text(): string { return Buffer.concat(this.messages).toString('latin1') }

  /** Of the body as it was on the wire: each message behind its five bytes. */
  get digest(): string {
    const hash = createHash('sha256')
    for (const message of this.messages) {
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(message.length, 1)
      hash.update(prefix).update(message)
    }
    return hash.digest('base64url')
  }
}

export class Signer {
  readonly batches: Batch[] = []
  readonly #server = new Server()
  #port = 0

  private constructor() {
    this.#server.addService(SERVICE, { signBatch: (call: ServerDuplexStream<Buffer, Buffer>) => void this.batches.push(new Batch(call)) })
  }

  static async start(): Promise<Signer> {
    const signer = new Signer()
    signer.#port = await new Promise((resolve, reject) => {
      signer.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error)))
    })
    return signer
  }

  get origin(): string { return `http://127.0.0.1:${this.#port}` }

  close(): void {
    this.#server.forceShutdown()
  }
}
