// Numbers of millrace.v1.Compression. The batch layer reads wire bytes; it does not import generated code.

export const Compression = { gzip: 1, zstd: 2 } as const;
