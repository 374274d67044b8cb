// What marks a call of gRPC. gRPC-Web is another protocol. SPEC: WIRE17

/** @param contentType as received, empty where there is none */
export function isGrpc(contentType: string): boolean {
  const lower = contentType.toLowerCase()
  return lower.startsWith('application/grpc') && /^(?:$|[+;\s])/.test(lower.slice(16))
}
