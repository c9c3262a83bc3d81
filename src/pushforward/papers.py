"""The papers that several rooms draw on."""

from pushforward.citations import Reference

__all__ = [
    "CONDITION_LEAKAGE",
    "CONSTANT_ACCELERATION",
    "CROSSFLOW",
    "ELUCIDATED_DIFFUSION",
    "FLOWTURBO",
    "FLOW_MATCHING",
    "HIERARCHICAL_COUPLINGS",
    "HIERARCHICAL_RECTIFIED_FLOW",
    "IMPROVED_IMMISCIBLE",
    "NEURAL_FLOW_DIFFUSION",
    "PERFLOW",
    "RECONSTRUCTION_LIKELIHOOD",
    "RECTIFIED_TRANSFORMERS",
    "STOCHASTIC_INTERPOLANTS",
]

CONDITION_LEAKAGE = Reference(
    "zhao2024identifying",
    "Identifying and Solving Conditional Image Leakage in Image-to-Video Diffusion Model",
    "Zhao, Min and Zhu, Hongzhou and Xiang, Chendong and Zheng, Kaiwen and Li, Chongxuan and Zhu, Jun",
    2024,
    arxiv="2406.15735",
)
CONSTANT_ACCELERATION = Reference(
    "park2024constant",
    "Constant Acceleration Flow",
    "Park, Dogyun and Lee, Sojin and Kim, Sihyeon and Lee, Taehoon and Hong, Youngjoon and Kim, Hyunwoo J.",
    2024,
    arxiv="2411.00322",
    venue="Advances in Neural Information Processing Systems",
)
CROSSFLOW = Reference(
    "liu2024flowing",
    "Flowing from Words to Pixels: A Noise-Free Framework for Cross-Modality Evolution",
    "Liu, Qihao and Yin, Xi and Yuille, Alan and Brown, Andrew and Singh, Mannat",
    2024,
    arxiv="2412.15213",
    venue="Conference on Computer Vision and Pattern Recognition",
)
ELUCIDATED_DIFFUSION = Reference(
    "karras2022elucidating",
    "Elucidating the Design Space of Diffusion-Based Generative Models",
    "Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli",
    2022,
    arxiv="2206.00364",
)
FLOWTURBO = Reference(
    "zhao2024flowturbo",
    "FlowTurbo: Towards Real-time Flow-Based Image Generation with Velocity Refiner",
    "Zhao, Wenliang and Shi, Minglei and Yu, Xumin and Zhou, Jie and Lu, Jiwen",
    2024,
    arxiv="2409.18128",
)
FLOW_MATCHING = Reference(
    "lipman2023flow",
    "Flow Matching for Generative Modeling",
    "Lipman, Yaron and Chen, Ricky T. Q. and Ben-Hamu, Heli and Nickel, Maximilian and Le, Matt",
    2023,
    arxiv="2210.02747",
    venue="International Conference on Learning Representations",
)
HIERARCHICAL_COUPLINGS = Reference(
    "zhang2025hierarchicalcoupling",
    "Hierarchical Rectified Flow Matching with Mini-Batch Couplings",
    "Zhang, Yichi and Yan, Yici and Schwing, Alexander and Zhao, Zhizhen",
    2025,
    arxiv="2507.13350",
)
HIERARCHICAL_RECTIFIED_FLOW = Reference(
    "zhang2025hierarchical",
    "Towards Hierarchical Rectified Flow",
    "Zhang, Yichi and Yan, Yici and Schwing, Alexander and Zhao, Zhizhen",
    2025,
    arxiv="2502.17436",
)
IMPROVED_IMMISCIBLE = Reference(
    "li2025improved",
    "Improved Immiscible Diffusion: Accelerate Diffusion Training by Reducing Its Miscibility",
    "Li, Yiheng and Liang, Feng and Kondratyuk, Dan and Tomizuka, Masayoshi and Keutzer, Kurt and Xu, Chenfeng",
    2025,
    arxiv="2505.18521",
)
NEURAL_FLOW_DIFFUSION = Reference(
    "bartosh2024neural",
    "Neural Flow Diffusion Models: Learnable Forward Process for Improved Diffusion Modelling",
    "Bartosh, Grigory and Vetrov, Dmitry and Naesseth, Christian A.",
    2024,
    arxiv="2404.12940",
)
PERFLOW = Reference(
    "yan2024perflow",
    "PeRFlow: Piecewise Rectified Flow as Universal Plug-and-Play Accelerator",
    "Yan, Hanshu and Liu, Xingchao and Pan, Jiachun and Liew, Jun Hao and Liu, Qiang and Feng, Jiashi",
    2024,
    arxiv="2405.07510",
)
RECONSTRUCTION_LIKELIHOOD = Reference(
    "li2025finetuning",
    "Fine-Tuning Flow Matching via Maximum Likelihood Estimation of Reconstructions",
    "Li, Zhaoyi and Ding, Jingtao and Li, Yong and Li, Shihua",
    2025,
    arxiv="2510.02081",
)
RECTIFIED_TRANSFORMERS = Reference(
    "esser2024scaling",
    "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis",
    "Esser, Patrick and Kulal, Sumith and Blattmann, Andreas and others",
    2024,
    arxiv="2403.03206",
)
STOCHASTIC_INTERPOLANTS = Reference(
    "albergo2023stochastic",
    "Stochastic Interpolants: A Unifying Framework for Flows and Diffusions",
    "Albergo, Michael S. and Boffi, Nicholas M. and Vanden-Eijnden, Eric",
    2023,
    arxiv="2303.08797",
)
