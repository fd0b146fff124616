"""The allow-list: what of an image's header or side-car may become metadata.

Everything that is not named here stays in the object's bytes alone. The lists hold attributes that
say how an image was acquired and what it shows. Of DICOM PS3.15 table E.1-1 they hold only what
its options retain or clean: patient characteristics (PatientSex, PatientSize, PatientWeight; an
age takes the birth date's place), full dates (StudyDate, SeriesDate), UIDs (StudyInstanceUID,
SeriesInstanceUID, FrameOfReferenceUID) and descriptors (StudyDescription, SeriesDescription,
ProtocolName, ContrastBolusAgent). Whoever adds a name looks it up in that table.

What is named here is gathered from every instance of a series (`medgrid.images.metadata`): nothing
that tells them apart by nature belongs here, such as their UIDs, numbers, positions and times.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "BIDS_CODES",
    "BIDS_FORMS",
    "BIDS_MOMENTS",
    "BIDS_NUMBERS",
    "BIDS_REFERENCES",
    "BIDS_TEXTS",
    "CODES",
    "DATES",
    "FREE_TEXT",
    "JUDGED",
    "MACHINE",
    "NUMBERS",
    "UIDS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UIDS: Final = _words(
    """
    SOPClassUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID
    """
)

DATES: Final = _words("StudyDate SeriesDate")

FREE_TEXT: Final = _words(
    """
    StudyDescription SeriesDescription ProtocolName SequenceName PulseSequenceName
    Manufacturer ManufacturerModelName SoftwareVersions
    ContrastBolusAgent ReceiveCoilName TransmitCoilName ConvolutionKernel FilterType
    Radiopharmaceutical ReconstructionMethod AttenuationCorrectionMethod
    ScatterCorrectionMethod ImagedNucleus
    LossyImageCompressionMethod
    """
)
"""Short texts people write: made of known words (`medgrid.images.words`), and scrubbed."""

MACHINE: Final = _words(
    """
    Manufacturer ManufacturerModelName SoftwareVersions SequenceName PulseSequenceName
    ReceiveCoilName TransmitCoilName ReceiveCoilManufacturerName TransmitCoilManufacturerName
    MultiCoilConfiguration MultiCoilElementName ConvolutionKernel FilterType ImageFilter
    ReconstructionMethod SegmentAlgorithmName ConversionSoftware ConversionSoftwareVersion
    """
)
"""Texts that devices write of themselves, and that programs branch on: words of theirs stay,
whatever a patient is called."""

CODES: Final = _words(
    """
    Modality ImageType PatientSex PatientPosition BodyPartExamined Laterality ImageLaterality
    ViewPosition ScanningSequence SequenceVariant ScanOptions MRAcquisitionType AngioFlag
    InPlanePhaseEncodingDirection VariableFlipAngleFlag EchoPulseSequence MultipleSpinEcho
    MultiPlanarExcitation PhaseContrast TimeOfFlightContrast SteadyStatePulseSequence
    EchoPlanarPulseSequence SaturationRecovery SpectrallySelectedSuppression
    GeometryOfKSpaceTraversal SegmentedKSpaceTraversal
    RectilinearPhaseEncodeReordering ParallelAcquisition ParallelAcquisitionTechnique
    PartialFourier PartialFourierDirection SpatialPresaturation MagnetizationTransfer
    T2Preparation BloodSignalNulling ReceiveCoilType TransmitCoilType QuadratureReceiveCoil
    ResonantNucleus DiffusionDirectionality AcquisitionContrast ComplexImageComponent
    PixelPresentation VolumetricProperties VolumeBasedCalculationTechnique ContentQualification
    ApplicableSafetyStandardAgency PhotometricInterpretation LossyImageCompression
    BurnedInAnnotation RescaleType Units CountsSource SeriesType CorrectedImage
    DecayCorrection RandomsCorrectionMethod CollimatorType CollimatorShape DetectorType
    FieldOfViewShape
    AcquisitionType ReconstructionAlgorithm RotationDirection ExposureModulationType
    DoseType DoseUnits DoseSummationType PresentationLUTShape PixelIntensityRelationship
    ConversionType PositionerType SegmentationType SegmentationFractionalType
    TableType AcquisitionTerminationCondition
    """
)
"""Coded strings: kept only when they are codes of their table (`medgrid.images.codes`)."""

JUDGED: Final = (CODES | FREE_TEXT) - {"Modality", "PatientSex"}
"""Texts that hang on the words that are known."""

NUMBERS: Final = _words(
    """
    PatientSize PatientWeight
    SeriesNumber AcquisitionNumber NumberOfFrames Rows Columns SamplesPerPixel BitsAllocated
    BitsStored HighBit PixelRepresentation PlanarConfiguration NumberOfTemporalPositions
    NumberOfSlices NumberOfTimeSlices ImagesInAcquisition
    PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing PixelAspectRatio SliceThickness
    SpacingBetweenSlices ImageOrientationPatient ReconstructionDiameter DataCollectionDiameter
    MagneticFieldStrength RepetitionTime EchoTime EffectiveEchoTime InversionTime EchoNumbers
    EchoTrainLength NumberOfAverages ImagingFrequency NumberOfPhaseEncodingSteps FlipAngle
    PercentSampling PercentPhaseFieldOfView PixelBandwidth AcquisitionMatrix SAR dBdt TriggerTime
    B1rms HeartRate CardiacNumberOfImages TriggerWindow ParallelReductionFactorInPlane
    ParallelReductionFactorOutOfPlane DiffusionBValue AcquisitionDuration SpectralWidth
    MRAcquisitionFrequencyEncodingSteps MRAcquisitionPhaseEncodingStepsInPlane
    MRAcquisitionPhaseEncodingStepsOutOfPlane GradientOutput TagThickness
    KVP GeneratorPower ExposureTime ExposureTimeInuS XRayTubeCurrent XRayTubeCurrentInuA
    Exposure ExposureInuAs
    FilterThicknessMinimum FilterThicknessMaximum FocalSpots DistanceSourceToDetector
    DistanceSourceToPatient GantryDetectorTilt TableHeight TableSpeed TableFeedPerRotation
    SpiralPitchFactor RevolutionTime SingleCollimationWidth TotalCollimationWidth CTDIvol
    RescaleIntercept RescaleSlope DistanceSourceToEntrance EntranceDose
    EstimatedDoseSaving OrganDose BodyPartThickness CompressionForce PositionerPrimaryAngle
    PositionerSecondaryAngle CineRate FrameTime RecommendedDisplayFrameRate ActualFrameDuration
    ContrastBolusVolume ContrastBolusTotalDose ContrastFlowRate ContrastFlowDuration
    RadionuclideTotalDose RadionuclideHalfLife RadionuclidePositronFraction SliceSensitivityFactor
    DecayFactor DoseCalibrationFactor ScatterFractionFactor AxialAcceptance AxialMash
    FieldOfViewDimensions NumberOfEnergyWindows NumberOfDetectors NumberOfRotations
    LossyImageCompressionRatio DoseGridScaling TransducerFrequency MechanicalIndex
    BoneThermalIndex CranialThermalIndex SoftTissueThermalIndex DepthOfScanField
    """
)

FUNCTIONAL_GROUPS: Final = (
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRModifierSequence",
    "MRImagingModifierSequence",
    "MRFOVGeometrySequence",
    "MRAveragesSequence",
    "MRDiffusionSequence",
    "MRReceiveCoilSequence",
    "MRTransmitCoilSequence",
    "MRImageFrameTypeSequence",
    "CTAcquisitionTypeSequence",
    "CTAcquisitionDetailsSequence",
    "CTTableDynamicsSequence",
    "CTGeometrySequence",
    "CTReconstructionSequence",
    "CTExposureSequence",
    "CTXRayDetailsSequence",
    "PixelValueTransformationSequence",
)
"""Macros of enhanced objects whose values are lifted beside the others (PS3.3 C.7.6.16)."""

BIDS_NUMBERS: Final = _words(
    """
    VolumeAffineMatrix MatrixSize AcquisitionVoxelSize BackgroundSuppressionPulseTime
    DecayCorrectionFactor FrameDuration FrameTimesStart LabelingOrientation PromptRate
    PulseSequenceTiming RandomRate ReconMethodParameterValues ScaleFactor ScatterFraction
    SinglesRate SliceTiming TablePosition VolumeTiming BigDelta BolusCutOffDelayTime
    LabelingDuration NumberShots PostLabelingDelay ReceiveGain ReconFilterSize
    RepetitionTimePreparation SmallDelta SpectrometerFrequency VascularCrushingVENC
    BackgroundSuppression BolusCutOffFlag DispersionCorrected ImageDecayCorrected LookLocker
    MTState MetaboliteAvail MetaboliteRecoveryCorrectionApplied NegativeContrast
    NonlinearGradientCorrection OuterVolumeSuppression PlasmaAvail SkullStripped SpoilingState
    VascularCrushing WaterSuppression WholeBloodAvail InjectedMass SpecificRadioactivity
    NumberOfSpectralPoints NumberOfTransients NumberOfVolumesDiscardedByScanner
    NumberOfVolumesDiscardedByUser NumberReceiveCoilActiveElements
    NumberTransmitCoilActiveElements BackgroundSuppressionNumberPulses BloodDensity
    ChemicalShiftOffset ChemicalShiftReference DelayAfterTrigger DelayTime DispersionConstant
    DwellTime EchoTime1 EchoTime2 EffectiveEchoSpacing FrameAcquisitionDuration Haematocrit
    ImageDecayCorrectionTime InfusionRadioactivity InfusionSpeed InfusionStart
    InjectedMassPerWeight InjectedRadioactivity InjectedVolume InjectionEnd InjectionStart
    LabelingDistance LabelingEfficiency LabelingPulseAverageB1 LabelingPulseAverageGradient
    LabelingPulseDuration LabelingPulseFlipAngle LabelingPulseInterval
    LabelingPulseMaximumGradient LabelingSlabThickness M0Estimate MTNumberOfPulses
    MTOffsetFrequency MTPulseBandwidth MTPulseDuration MixingTime MolarActivity
    MultibandAccelerationFactor PlasmaFreeFraction Purity RepetitionTimeExcitation ScanStart
    SpoilingGradientDuration SpoilingGradientMoment SpoilingRFPhaseIncrement TotalAcquiredPairs
    TotalReadoutTime TracerMolecularWeight WithdrawalRate WaterFatShift PhaseOversampling
    BandwidthPerPixelPhaseEncode ReconMatrixPE BaseResolution ShimSetting TxRefAmp
    PercentPhaseFOV AcquisitionMatrixPE ImageOrientationPatientDICOM PartialFourier
    AccelFact3D AveragesDouble BolusDuration CompressedSensingFactor DeepLearning
    DerivedVendorReportedEchoSpacing EPIFactor EchoNumber EchoSpacingMicroSecondsGE
    EchoTrainDuration EstimatedEffectiveEchoSpacing EstimatedTotalReadoutTime FrameReferenceTime
    FrequencyEncodingSteps InitialPostLabelDelay Interpolation2D Interpolation3D IsotopeHalfLife
    MaximumT1Opt MeanGzx10 NotPhysicalNumberOfAcquiredPELinesGE NotPhysicalTotalReadOutTimeGE
    NumRFBlocks NumberOfArms NumberOfDiffusionDirectionGE NumberOfDiffusionT2GE
    NumberOfExcitations NumberOfKSpaceTrajectories NumberOfPointsPerArm
    PLD0 PLD1 PLD2 PLD3 PLD4 PLD5 PhaseEncodingSteps PhaseEncodingStepsNoPartialFourier
    PhaseEncodingStepsOutOfPlane PhaseResolution PhiAdjust PhilipsRWVIntercept PhilipsRWVSlope
    PhilipsRescaleIntercept PhilipsRescaleSlope PhilipsScaleSlope PostInversionDelay Quadruped
    RFGap RawImage RefLinesPE RepetitionTimeInversion SaturationStopTime
    Tag0 Tag1 Tag2 Tag3 TagDuration TagPlaneDThickness TagPlaneSNormalDTra
    TagPlaneSPositionDTra TagPlaneUlShape TagRFDuration TagRFFlipAngle TagRFSeparation
    TensorFileNumberGE TriggerDelayTime UsePhilipsFloatNotDisplayScaling
    VendorReportedEchoSpacing XRayExposure
    """
)
"""Side-car fields that hold numbers or truth values (BIDS 1.11, dcm2niix), not DICOM keywords."""

BIDS_MOMENTS: Final = _words(
    """
    FrameReferenceTime FrameTimesStart ImageDecayCorrectionTime InfusionStart InjectionEnd
    InjectionStart
    PulseSequenceTiming ScanStart SliceTiming StartTime VolumeTiming
    """
)
"""Those of them, and of side-cars of tables, that are seconds after some moment."""

BIDS_CODES: Final = _words(
    """
    DiffGradientCyclingGE DiffusionScheme ImageTypeText InPlanePhaseEncodingDirectionDICOM
    InternalPulseSequenceName PartialFourierEnabled PhaseEncodingDirectionDisplayed
    PhaseEncodingPolarityGE
    """
)
"""Side-car fields that hold codes (dcm2niix), not DICOM keywords; tables as those of `CODES`."""

_PLANE = "(?:Sag|Cor|Tra)"
BIDS_FORMS: Final = {
    "ConversionSoftwareVersion": re.compile(r"v\d\.\d\.\d{8}"),  # the day of a release
    "ImageOrientationText": re.compile(rf"{_PLANE}(?:>{_PLANE}\(-?\d{{1,2}}\.\d\)){{0,2}}"),
}
"""Side-car fields whose values of one form name nobody (dcm2niix)."""

BIDS_TEXTS: Final = _words(
    """
    TaskName TaskDescription CogAtlasID CogPOID B0FieldIdentifier B0FieldSource
    MRTransmitCoilSequence CoilCombinationMethod MatrixCoilMode PulseSequenceDetails
    PulseSequenceType PhaseEncodingDirection PhaseEncodingAxis SliceEncodingDirection
    AnatomicalLandmarkCoordinateUnits ArterialSpinLabelingType CASLType PCASLType PASLType
    BolusCutOffTechnique M0Type ContrastBolusIngredient MTPulseShape SpoilingType
    WaterSuppressionTechnique TracerName TracerRadionuclide TracerRadLex TracerSNOMED
    InjectedRadioactivityUnits InjectedMassUnits InjectedMassPerWeightUnits InfusionSpeedUnits
    MolarActivityUnits SpecificRadioactivityUnits TracerMolecularWeightUnits
    ModeOfAdministration AcquisitionMode AttenuationCorrection ReconMethodName
    ReconMethodParameterLabels ReconMethodParameterUnits ReconFilterType SpatialReference
    Resolution Density ConversionSoftware ConversionSoftwareVersion
    """
)
"""Side-car fields that hold words and codes, not DICOM keywords."""

BIDS_REFERENCES: Final = frozenset(("IntendedFor", "Sources", "RawSources"))
"""Side-car fields that name other images of the subject."""
