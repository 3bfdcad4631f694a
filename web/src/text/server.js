/* What the server says in English, in Chinese: [pattern, sentence]. $1 is itself told. What isn't here stays English. */
export const server = [
    [/^weights stay in memory$/, "权重常驻内存"],
    [/^the encoder's weights leave once the prompt is encoded$/, "提示词编码后释放编码器权重"],
    [/^weights streamed layer by layer$/, "权重逐层读取"],
    [/^passes side by side$/, "两路并行"],
    [/^attention in small chunks$/, "注意力分小块计算"],
    [/^picture decoded whole$/, "整图解码"],
    [/^picture decoded in strips$/, "分条解码"],
    [/^picture decoded in tiles$/, "分块解码"],
    [/^The fastest way needs (.+?) of the (.+?) that may be taken\.$/, "最快的方式需要 $1，可用 $2。"],
    [/^Of the ways that fit into (.+?) it is the fastest; it needs (.+?)\.$/, "在 $1 内可行的方式中这是最快的，需要 $2。"],
    [/^Even in the smallest way it needs (.+?), and (.+?) may be taken\.$/, "即使用最省的方式也需要 $1，而可用的只有 $2。"],
    [/^loading the model$/, "加载模型"],
    [/^taking memory$/, "申请内存"],
    [/^run (\d+) of (\d+)(.*)$/, "第 $1 / $2 轮$3"],
    [/^(\d+x\d+) is the only sound size: its pictures show their subject once and whole, on a clean background\.$/, "只有 $1 可靠：画面主体完整、不重复，背景干净。"],
];
