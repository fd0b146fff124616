"""Names of structures, those of contours and segments: which are made of known words alone.

People name them as they like, after the patient, too. A name stays when each of its words is
anatomy, a target, or how such are told apart.

Sources: AAPM TG-263 (nomenclature of radiation oncology), DICOM PS3.16 CID 7150 to 7166 (segmented
properties), FreeSurfer's colour table.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_known_name"]

_WORDS: Final = frozenset(
    """
    a accumbens acetabulum adjacent adrenal air airway alveolus amygdala anal anterior anus aorta
    aortic appendix arch area arm artery artifact ascending atrium axilla axillary background basal
    bifurcation bilateral bladder blood body bolus bone bony bowel brachial brachiocephalic brain
    brainstem breast bronchial bronchus buccal bulb c callosum canal capsule cardiac carina carotid
    cartilage cauda caudal caudate cava cavity cecum celiac central cerebellar cerebellum cerebral
    cerebrospinal cervical cervix cgy chiasm chiasma circumflex cistern clavicle coccyx cochlea
    colon combined contralateral cord corona coronary corpus cortex cortical costal couch cranial
    cranium cricoid csf ctv cuneus cyst deep descending diaphragm dorsal dose duct duodenum dura ear
    edema effusion enhancing entorhinal epididymis epiglottis equina esophagus ethmoid eval external
    extremity eye eyelid face facial fat femoral femur fibula fiducial fimbria fissure fluid foramen
    fornix fossa frontal fundus fusiform gallbladder ganglia ganglion gland glands globe globus
    glottis gtv gy gyrus heart hematoma hemisphere hemorrhage hepatic high hilar hilum hip
    hippocampus humeral humerus hyoid hypopharynx hypothalamus igtv iliac ilium implant index
    infarct inferior inguinal inner insula internal intestine intracranial ipsilateral isocenter
    isodose itv jaw jejunum joint jugular junction kidney knee l lacrimal large laryngeal larynx
    lateral left leg lens lenses lesion level lingual lip lips liver lobe lobes low lower lumbar
    lumen lung lungs lymph mammary mandible margin mask mass mastoid maxilla maxillary medial
    mediastinum medulla meninges mesentery mesorectum metastasis midbrain middle mitral muscle
    myocardium nasal nasopharynx necrosis necrotic needle nerve nerves nodal node nodes nodule non
    nose nrv nucleus oar oblongata occipital oesophagus olfactory optic opticchiasm opticnrv oral
    orbit orbital organ organs oropharynx outer ovaries ovary palate palatine pallidum pancreas
    paraspinal parathyroid parietal parotid parotids partial patella pelvic pelvis penile
    pericardium peritoneal peritoneum peritumoral pharyngeal pharynx pineal pituitary placenta
    planning plaque pleura pleural plexus pons portal posterior prostate prosthesis proximal prv
    pterygoid ptv pulmonary putamen pylorus r radius rectal rectosigmoid rectum region renal retina
    ribs right ring roi root sacral sacrum salivary scalp scapula sciatic sella seminal
    seminalvesicle septum shell shoulder sigmoid sinus sinuses skeletal skeleton skin skull soft
    spared sphenoid sphincter spinal spinalcord spine spleen sternum stomach structure subclavian
    subcutaneous sublingual submandibular substantia subthalamic sulcus superficial superior
    supraclavicular surface target temporal testes testicle testis thalamus thorax thymus thyroid
    tibia tissue tongue tonsil tonsils total trachea tract trigeminal trunk tumor tumour turbinate
    ulna umbilical unknown upper ureter ureters urethra urinary uterus uvula vagina valve vein veins
    vena ventral ventricle ventricles vermis vertebra vertebrae vertebral vesicle vesicles vessel
    vessels vitreous vocal volume vulva wall with without zone
    """.split()  # noqa: SIM905
)
_VERTEBRA: Final = re.compile(r"[ctls]\d{1,2}", re.IGNORECASE)
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NAME: Final = re.compile(r"[A-Za-z0-9 _.,+/()^~!%-]{1,64}")
_MAX_DIGITS: Final = 4  # a dose in cGy; an id or a date has more


def is_known_name(text: str) -> bool:
    """Whether each word of a name is known, and it has few digits.

    Examples
    --------
    >>> [is_known_name(one) for one in ("PTV_6000", "SpinalCord_PRV05", "Meier left")]
    [True, True, False]
    """
    words = re.findall("[A-Za-z0-9]+", text)
    return (
        _NAME.fullmatch(text) is not None
        and sum(char.isdigit() for char in text) <= _MAX_DIGITS
        and any(not word.isdigit() for word in words)
        and all(map(_is_known, words))
    )


def _is_known(word: str) -> bool:
    if word.lower() in _WORDS or _VERTEBRA.fullmatch(word):
        return True
    return all(part.isdigit() or part.lower() in _WORDS for part in _PARTS.findall(word))
